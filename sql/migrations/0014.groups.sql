-- Answers of many students are recorded as one row for all of them, the rule of who sees whom is planned once, and a
-- question is one statement.

-- Each of those named is looked up by its keys, in this order (OFFSET 0 keeps the planner from another), and no table is
-- searched without one, whatever the planner believes: right after an import, before the tables were analyzed, it
-- compared each of 100,000 students with all of them, which took 11 s. And the plan is one for any array: a plan for an
-- array of one looks cheaper, so that it was made anew with each call (300 us, now 57).
CREATE OR REPLACE FUNCTION seen_by(
    by_viewer integer, by_session bigint, by_share integer, among bigint[]
)
RETURNS TABLE (student_id bigint, since timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 10
SET search_path = public, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
AS $$
DECLARE
    sees_everyone boolean;
    shared bigint;
    shared_since timestamptz := '-infinity';
    in_scope bigint[];
BEGIN
    SELECT viewer.sees_all INTO sees_everyone
    FROM viewers AS viewer
    WHERE
        viewer.viewer_id = by_viewer
        AND viewer.revoked_at IS NULL
        AND (by_session = 0 OR EXISTS (
            SELECT
            FROM sessions AS session
            WHERE
                session.session_id = by_session
                AND session.viewer_id = by_viewer
                AND session.ends_at > now()
                AND session.used_at + session.idle_seconds * interval '1 second' > now()
        ));
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF by_share <> 0 THEN
        SELECT
            share.student_id,
            share.created_at - interval '1 day'
        INTO
            shared,
            shared_since
        FROM shares AS share
        WHERE
            share.share_id = by_share
            AND share.viewer_id = by_viewer
            AND share.ends_at > now()
            AND share.revoked_at IS NULL
            AND (among IS NULL OR share.student_id = any(among));
        IF NOT FOUND THEN
            RETURN;
        END IF;
        among := ARRAY[shared];
    END IF;
    IF among IS NOT NULL THEN
        in_scope := ARRAY(
            SELECT DISTINCT named.student_id
            FROM unnest(among) AS named (student_id)
            CROSS JOIN LATERAL (
                SELECT
                    enrolled.school_id,
                    enrolled.class_id
                FROM students AS enrolled
                WHERE
                    enrolled.student_id = named.student_id
                    AND enrolled.erased_at IS NULL
                OFFSET 0
            ) AS student
            WHERE
                sees_everyone OR EXISTS (
                    SELECT
                    FROM staff_scopes AS scope
                    WHERE
                        scope.viewer_id = by_viewer
                        AND scope.school_id = student.school_id
                        AND (scope.class_id IS NULL OR scope.class_id = student.class_id)
                )
        );
    ELSIF sees_everyone THEN
        in_scope := ARRAY(
            SELECT student.student_id
            FROM students AS student
            WHERE student.erased_at IS NULL
        );
    ELSE
        in_scope := ARRAY(
            SELECT DISTINCT student.student_id
            FROM staff_scopes AS scope
            CROSS JOIN LATERAL (
                SELECT enrolled.student_id
                FROM students AS enrolled
                WHERE
                    enrolled.school_id = scope.school_id
                    AND enrolled.erased_at IS NULL
                    AND (scope.class_id IS NULL OR scope.class_id = enrolled.class_id)
                OFFSET 0
            ) AS student
            WHERE scope.viewer_id = by_viewer
        );
        among := ARRAY(
            SELECT guardianship.student_id
            FROM guardianships AS guardianship
            WHERE guardianship.viewer_id = by_viewer
        );
    END IF;
    RETURN QUERY
    SELECT staff.student_id, shared_since
    FROM unnest(in_scope) AS staff (student_id);
    RETURN QUERY
    SELECT rule.student_id, greatest(rule.since, shared_since)
    FROM (
        SELECT DISTINCT
            guarded.student_id,
            CASE
                WHEN guarded.school_hours_only THEN school_opened_at(student.school_id)
                ELSE '-infinity'
            END AS since
        FROM unnest(among) AS named (student_id)
        CROSS JOIN LATERAL (
            SELECT
                guardianship.student_id,
                guardianship.school_hours_only
            FROM guardianships AS guardianship
            WHERE
                guardianship.student_id = named.student_id
                AND guardianship.viewer_id = by_viewer
                AND guardianship.valid_from <= now()
                AND guardianship.valid_until > now()
                AND guardianship.consent_until > now()
            OFFSET 0
        ) AS guarded
        CROSS JOIN LATERAL (
            SELECT enrolled.school_id
            FROM students AS enrolled
            WHERE
                enrolled.student_id = guarded.student_id
                AND enrolled.erased_at IS NULL
            OFFSET 0
        ) AS student
        WHERE guarded.student_id <> all(in_scope)
    ) AS rule
    WHERE rule.since IS NOT NULL;
END
$$;

-- A statement that says on whose behalf it reads needs no transaction of several around it.
DROP FUNCTION act_as(integer, integer, bigint[]);

CREATE FUNCTION act_as(viewer integer, share integer, students bigint[]) RETURNS boolean
LANGUAGE sql AS $$
SELECT
    set_config('app.viewer', viewer::text, TRUE) IS NOT NULL
    AND set_config('app.share', share::text, TRUE) IS NOT NULL
    AND set_config('app.students', coalesce(students::text, ''), TRUE) IS NOT NULL
$$;

COMMENT ON FUNCTION act_as(integer, integer, bigint[]) IS
'Says on whose behalf this transaction reads, by which share (0: by none), and of whom at most '
'(NULL: of all whom the viewer sees). It ends with the transaction. True, so that a statement can '
'say it before it reads.';

CREATE TABLE lookup_groups (
    group_id integer GENERATED ALWAYS AS IDENTITY,
    digest bytea NOT NULL,
    used_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT lookup_groups_pkey PRIMARY KEY (group_id),
    CONSTRAINT group_is_unique UNIQUE (digest),
    CONSTRAINT digest_is_sha256 CHECK (octet_length(digest) = 32)
);

COMMENT ON TABLE lookup_groups IS
'Students of whom one answer told, such as all of a school; who looks again looks at the same.';
COMMENT ON COLUMN lookup_groups.digest IS
'SHA-256 of their ids as an array in order, each once, as PostgreSQL sends it.';
COMMENT ON COLUMN lookup_groups.used_at IS
'When somebody last looked at them, to a day: a group in use is not deleted.';

CREATE TABLE lookup_group_students (
    student_id bigint NOT NULL,
    group_id integer NOT NULL,
    CONSTRAINT lookup_group_students_pkey PRIMARY KEY (student_id, group_id),
    CONSTRAINT group_student_has_group FOREIGN KEY (group_id)
    REFERENCES lookup_groups (group_id) ON DELETE CASCADE
);

COMMENT ON TABLE lookup_group_students IS
'Who is in a group. No foreign key of the student, whom the record outlives.';

-- For the cascade.
CREATE INDEX idx_lookup_group_students_group ON lookup_group_students (group_id);

CREATE TABLE group_lookups (
    lookup_id bigint NOT NULL,
    group_id integer NOT NULL,
    viewer_id integer NOT NULL,
    rows integer NOT NULL,
    looked_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT group_lookups_pkey PRIMARY KEY (group_id, looked_at, lookup_id),
    CONSTRAINT group_lookup_has_group FOREIGN KEY (group_id)
    REFERENCES lookup_groups (group_id)
);

COMMENT ON TABLE group_lookups IS
'Who looked at many at once: what lookups would say of each student of the group, of the kind '
'locations. Never changed either, deleted only by expire_lookups.';
COMMENT ON COLUMN group_lookups.lookup_id IS 'From the sequence of lookups.';
COMMENT ON COLUMN group_lookups.rows IS
'How many positions were shown of each; 0: that there is none.';

-- Only for those whose time is over, who lie together; a B-tree would be taken for a way to the newest, too.
CREATE INDEX idx_group_lookups_looked ON group_lookups USING brin (looked_at);

CREATE TRIGGER group_lookups_are_append_only
BEFORE UPDATE OR DELETE OR TRUNCATE ON group_lookups
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_lookups();

CREATE TRIGGER lookup_group_students_are_append_only
BEFORE UPDATE OR DELETE OR TRUNCATE ON lookup_group_students
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_lookups();

CREATE TRIGGER lookup_groups_are_append_only
BEFORE UPDATE OF group_id, digest OR DELETE OR TRUNCATE ON lookup_groups
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_lookups();

CREATE FUNCTION record_group_lookup(by_viewer integer, students bigint[], rows_each integer)
RETURNS void LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    of_group integer;
    is_new boolean;
    of_students CONSTANT bytea := sha256(array_send(students));
BEGIN
    IF cardinality(students) = 0 THEN
        RETURN;
    END IF;
    SELECT known.group_id INTO of_group
    FROM lookup_groups AS known
    WHERE
        known.digest = of_students
        AND known.used_at > now() - interval '1 day';
    IF NOT FOUND THEN
        INSERT INTO lookup_groups AS known (digest)
        VALUES (of_students)
        ON CONFLICT (digest) DO UPDATE SET used_at = now()
        -- Who was just inserted, nobody has locked or deleted.
        RETURNING known.group_id, known.xmax = 0 INTO of_group, is_new;
        IF is_new THEN
            INSERT INTO lookup_group_students (student_id, group_id)
            SELECT one.student_id, of_group
            FROM unnest(students) AS one (student_id);
        END IF;
    END IF;
    INSERT INTO group_lookups (lookup_id, group_id, viewer_id, rows)
    VALUES (
        nextval(pg_get_serial_sequence('lookups', 'lookup_id')), of_group, by_viewer, rows_each
    );
END
$$;

COMMENT ON FUNCTION record_group_lookup(integer, bigint[], integer) IS
'Puts a look-up on record for these students, each named once and in order.';

CREATE FUNCTION record_many(
    by_viewer integer, by_session bigint, placed bigint[], missing bigint[]
)
RETURNS bigint[] LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    allowed CONSTANT bigint[] := ARRAY(
        SELECT rule.student_id FROM seen_by(by_viewer, by_session, 0, placed || missing) AS rule
    );
BEGIN
    PERFORM record_group_lookup(by_viewer, ARRAY(
        SELECT unnest(placed)
        INTERSECT
        SELECT unnest(allowed)
        ORDER BY 1
    ), 1);
    PERFORM record_group_lookup(by_viewer, ARRAY(
        SELECT unnest(missing)
        INTERSECT
        SELECT unnest(allowed)
        ORDER BY 1
    ), 0);
    IF by_session <> 0 AND cardinality(allowed) > 0 THEN
        UPDATE sessions
        SET used_at = now()
        WHERE
            session_id IN (
                SELECT session.session_id
                FROM sessions AS session
                WHERE
                    session.session_id = by_session
                    AND session.used_at < now() - interval '1 minute'
                FOR UPDATE SKIP LOCKED
            );
    END IF;
    RETURN ARRAY(
        SELECT unnest(placed || missing)
        EXCEPT
        SELECT unnest(allowed)
    );
END
$$;

COMMENT ON FUNCTION record_many(integer, bigint, bigint[], bigint[]) IS
'Puts on record that a viewer, by this session (0: by none), was shown where those placed are, and '
'that of those missing there is no position; only of whom the viewer sees at this moment. Gives '
'the others.';

CREATE OR REPLACE FUNCTION expire_lookups(before timestamptz, most integer) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    gone bigint;
    gone_of_groups bigint;
BEGIN
    PERFORM set_config('geoingest.expires_lookups', 'on', TRUE);
    DELETE FROM lookups
    WHERE ctid = ANY (ARRAY(
        SELECT lookup.ctid
        FROM lookups AS lookup
        WHERE lookup.looked_at < before
        ORDER BY lookup.looked_at
        LIMIT most
    ));
    GET DIAGNOSTICS gone = ROW_COUNT;
    DELETE FROM group_lookups
    WHERE ctid = ANY (ARRAY(
        SELECT lookup.ctid
        FROM group_lookups AS lookup
        WHERE lookup.looked_at < before
        ORDER BY lookup.looked_at
        LIMIT most - gone
    ));
    GET DIAGNOSTICS gone_of_groups = ROW_COUNT;
    DELETE FROM lookup_groups AS unused
    WHERE
        unused.used_at < before - interval '1 day'
        AND NOT EXISTS (
            SELECT FROM group_lookups AS lookup WHERE lookup.group_id = unused.group_id
        );
    PERFORM set_config('geoingest.expires_lookups', 'off', TRUE);
    RETURN gone + gone_of_groups;
END
$$;

COMMENT ON FUNCTION expire_lookups(timestamptz, integer) IS
'Deletes the oldest look-ups from before an instant, so many at most, and the groups that nobody '
'has looked at since; returns how many look-ups.';

ALTER TABLE lookup_group_students ENABLE ROW LEVEL SECURITY;
ALTER TABLE group_lookups ENABLE ROW LEVEL SECURITY;

CREATE POLICY of_whom_the_viewer_sees ON lookup_group_students FOR SELECT USING (
    student_id IN (
        SELECT shown.student_id FROM seen() AS shown
        WHERE shown.since = '-infinity'
    )
);

CREATE POLICY of_whom_the_viewer_sees ON group_lookups FOR SELECT USING (
    group_id IN (
        SELECT member.group_id
        FROM seen() AS shown
        INNER JOIN lookup_group_students AS member ON shown.student_id = member.student_id
        WHERE shown.since = '-infinity'
    )
);
