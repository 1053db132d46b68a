-- A share shows no more of the past than a day before it was made.

CREATE OR REPLACE FUNCTION seen_by(
    by_viewer integer, by_session bigint, by_share integer, among bigint[]
)
RETURNS TABLE (student_id bigint, since timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 10 SET search_path = public, pg_temp AS $$
DECLARE
    sees_everyone boolean;
    shared bigint;
    shared_since timestamptz := '-infinity';
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
    IF sees_everyone THEN
        IF among IS NULL THEN
            RETURN QUERY
            SELECT student.student_id, '-infinity'::timestamptz
            FROM students AS student
            WHERE student.erased_at IS NULL;
        ELSE
            RETURN QUERY
            SELECT student.student_id, shared_since
            FROM students AS student
            WHERE student.student_id = any(among) AND student.erased_at IS NULL;
        END IF;
        RETURN;
    END IF;
    RETURN QUERY
    SELECT rule.student_id, greatest(min(rule.since), shared_since)
    FROM (
        SELECT student.student_id, '-infinity'::timestamptz AS since
        FROM staff_scopes AS scope
        INNER JOIN students AS student
            ON
                scope.school_id = student.school_id
                AND (scope.class_id IS NULL OR scope.class_id = student.class_id)
        WHERE
            scope.viewer_id = by_viewer
            AND student.erased_at IS NULL
            AND (among IS NULL OR student.student_id = any(among))
        UNION ALL
        SELECT
            guardianship.student_id,
            CASE
                WHEN guardianship.school_hours_only THEN school_opened_at(student.school_id)
                ELSE '-infinity'
            END
        FROM guardianships AS guardianship
        INNER JOIN students AS student ON guardianship.student_id = student.student_id
        WHERE
            guardianship.viewer_id = by_viewer
            AND guardianship.valid_from <= now()
            AND guardianship.valid_until > now()
            AND guardianship.consent_until > now()
            AND student.erased_at IS NULL
            AND (among IS NULL OR student.student_id = any(among))
    ) AS rule
    WHERE rule.since IS NOT NULL
    GROUP BY rule.student_id;
END
$$;

COMMENT ON FUNCTION seen_by(integer, bigint, integer, bigint[]) IS
'The one rule of who sees whom now: of the students named (NULL: all) those whom the viewer sees, '
'by this session and share (0: by none), and since when; -infinity but for who sees school hours '
'only, and by a share, which reaches back to a day before it was made. Nobody, once viewer, '
'session or share has ended.';

-- Ended ones are looked for by the job that forgets them.
CREATE INDEX idx_shares_ends ON shares (ends_at);
