-- Who looked at which student: a record that is only ever added to.

CREATE TABLE lookups (
    lookup_id bigint GENERATED ALWAYS AS IDENTITY,
    student_id bigint NOT NULL,
    viewer_id integer NOT NULL,
    kind text NOT NULL,
    window_from timestamptz,
    window_to timestamptz,
    rows integer,
    looked_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT lookups_pkey PRIMARY KEY (student_id, looked_at, lookup_id),
    CONSTRAINT kind_is_known CHECK (
        kind IN ('location', 'locations', 'track', 'export', 'days', 'lookups')
    ),
    CONSTRAINT rows_are_known_but_of_an_export CHECK ((rows IS NULL) = (kind = 'export')),
    CONSTRAINT window_has_both_ends CHECK ((window_from IS NULL) = (window_to IS NULL))
);

COMMENT ON TABLE lookups IS
'Who looked: one row per answered question and student, committed before the answer, which was '
'perhaps never sent. Never changed, deleted only by expire_lookups. No coordinates, no foreign '
'keys: it outlives viewer and student. Once there are roles, the one that records wants INSERT, '
'the one that reads SELECT, that of the jobs SELECT, DELETE, and EXECUTE on expire_lookups.';
COMMENT ON COLUMN lookups.lookup_id IS 'Tells apart what one commit has recorded.';
COMMENT ON COLUMN lookups.student_id IS 'Whose place or record was asked for.';
COMMENT ON COLUMN lookups.viewer_id IS 'Who asked.';
COMMENT ON COLUMN lookups.kind IS
'location, locations (one row for each student), track (a page), export (a file), days, or lookups '
'(a page of this very table).';
COMMENT ON COLUMN lookups.window_from IS
'Start of the window that was asked for, not of the page; of days midnight in UTC; NULL where the '
'question was for the newest.';
COMMENT ON COLUMN lookups.window_to IS 'Its end; of days the end of the last one.';
COMMENT ON COLUMN lookups.rows IS
'How many positions, days or look-ups were shown; 0 also says that there is none. NULL for an '
'export: its row is written before the first byte, when its length is not known.';
COMMENT ON COLUMN lookups.looked_at IS 'When it was recorded, by the clock of the database.';

CREATE INDEX idx_lookups_looked ON lookups (looked_at);

CREATE FUNCTION refuse_change_of_lookups() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND current_setting('geoingest.expires_lookups', TRUE) = 'on' THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION 'look-ups are never changed: % refused', TG_OP
    USING ERRCODE = 'restrict_violation', HINT = 'expire_lookups() deletes those whose time is over.';
END
$$;

COMMENT ON FUNCTION refuse_change_of_lookups() IS
'The record is append-only, also for its owner; what is granted comes on top.';

CREATE TRIGGER lookups_are_append_only
BEFORE UPDATE OR DELETE OR TRUNCATE ON lookups
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_lookups();

CREATE FUNCTION expire_lookups(before timestamptz, most integer) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    gone bigint;
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
    PERFORM set_config('geoingest.expires_lookups', 'off', TRUE);
    RETURN gone;
END
$$;

COMMENT ON FUNCTION expire_lookups(timestamptz, integer) IS
'Deletes the oldest look-ups from before an instant, so many at most; returns how many.';
