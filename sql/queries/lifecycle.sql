-- name: try_lock
-- migrations.run and jobs.run_once, on the primary, direct connection. Polled, never waited for:
-- a waiting session would deadlock with CREATE INDEX CONCURRENTLY.
SELECT pg_try_advisory_lock($1) AS held;

-- name: unlock
-- migrations.run and jobs.run_once, on the primary, direct connection.
SELECT pg_advisory_unlock($1);

-- name: put_timeouts_in_force
-- migrations.run, on the primary, each time, because a dump and restore loses them: for whichever role migrates, which
-- need not be one of roles.sql, where each is explained.
DO $$
DECLARE
    setting text;
BEGIN
    FOREACH setting IN ARRAY ARRAY[
        'statement_timeout = ''30s''',
        'lock_timeout = ''5s''',
        'idle_in_transaction_session_timeout = ''60s''',
        'tcp_keepalives_idle = ''10s''',
        'tcp_keepalives_interval = ''5s''',
        'tcp_keepalives_count = 3'
    ] LOOP
        EXECUTE format('ALTER ROLE CURRENT_USER IN DATABASE %I SET ', current_database()) || setting;
    END LOOP;
END
$$;

-- name: roles_are_there
-- migrations.run, on the primary. Catalog only.
SELECT
    to_regrole('geoingest_ingest') IS NOT NULL
    AND to_regrole('geoingest_read') IS NOT NULL AS are_there;

-- name: list_partitions
-- partitions.attached, on the primary. Catalog only; small. What is half detached takes no ping.
SELECT child.relname AS partition_name
FROM pg_inherits AS inheritance
INNER JOIN pg_class AS child ON inheritance.inhrelid = child.oid
WHERE
    inheritance.inhparent = 'geolocation_data'::regclass
    AND NOT inheritance.inhdetachpending
ORDER BY child.relname;

-- name: mark_of_month
-- removal.drop, on the primary: the comment that unfinished_months looks for; NULL when there is no such table.
SELECT 'geoingest drops table ' || to_regclass($1)::oid AS mark;

-- name: unfinished_months
-- removal.finish, on the primary. Catalog only; small. What is pending comes first: it is in the others' way.
SELECT
    class.relname AS partition_name,
    coalesce(described.description = 'geoingest drops table ' || class.oid, FALSE) AS is_condemned
FROM pg_class AS class
LEFT JOIN pg_inherits AS inheritance ON class.oid = inheritance.inhrelid
LEFT JOIN pg_description AS described
    ON
        class.oid = described.objoid
        AND described.classoid = 'pg_class'::regclass
        AND described.objsubid = 0
WHERE
    class.relkind = 'r'
    AND (
        (
            inheritance.inhparent = 'geolocation_data'::regclass
            AND inheritance.inhdetachpending
        )
        OR described.description = 'geoingest drops table ' || class.oid
    )
ORDER BY
    inheritance.inhdetachpending DESC NULLS LAST,
    class.relname ASC;

-- name: state_of_month
-- removal.finish and removal.drop, on the primary. No row: it is no partition any more.
SELECT inheritance.inhdetachpending AS is_pending
FROM pg_inherits AS inheritance
WHERE
    inheritance.inhrelid = $1::text::regclass
    AND inheritance.inhparent = 'geolocation_data'::regclass;

-- name: delete_expired_rejections
-- quarantine.run_once, on the primary, in pieces so that no statement runs long; idx_rejected_pings_received.
DELETE FROM rejected_pings
WHERE rejected_id IN (
    SELECT rejected_id
    FROM rejected_pings
    WHERE received_at < $1
    ORDER BY received_at
    LIMIT $2
);

-- name: delete_rejects_of_erased
-- quarantine.run_once, on the primary; whole table, once an hour; erasures_pkey, students_pkey. What a gateway that
-- was not told goes on to send.
DELETE FROM rejected_pings AS rejected
USING erasures AS erasure
WHERE
    rejected.reason = 'unknown_student'
    AND substring(encode(rejected.raw, 'escape') FROM '"student_id"\s*:\s*"?([0-9]{1,19})(?![0-9])')
    = erasure.student_id::text
    AND NOT EXISTS (
        SELECT
        FROM students AS student
        WHERE student.student_id = erasure.student_id
    );

-- name: expire_lookups
-- lookups.run_once, on the primary, in pieces so that no statement runs long; idx_lookups_looked.
SELECT expire_lookups($1, $2) AS gone;

-- name: months_ready
-- runway.Runway.look, on the primary. Catalog and one row; the names sort by month.
SELECT
    min(state.rolled_to) AS rolled_to,
    min(state.sealed_to) AS sealed_to,
    count(*) FILTER (WHERE child.relname > this.month_name) AS ahead,
    count(*) FILTER (WHERE child.relname = this.month_name) = 1 AS has_this_month
FROM pg_inherits AS inheritance
INNER JOIN pg_class AS child ON inheritance.inhrelid = child.oid
CROSS JOIN (
    SELECT to_char(now() AT TIME ZONE 'UTC', '"geolocation_data_y"YYYY"m"MM') AS month_name
) AS this
CROSS JOIN rollup_state AS state
WHERE
    inheritance.inhparent = 'geolocation_data'::regclass
    AND NOT inheritance.inhdetachpending;

-- name: note_job_run
-- jobs.run_once, on the primary, after each run; job_runs_pkey.
INSERT INTO job_runs AS kept (
    job,
    started_at,
    seconds,
    outcome,
    result,
    succeeded_at
) VALUES (
    $1,
    $2,
    $3,
    $4,
    $5,
    $6
)
ON CONFLICT (job) DO UPDATE SET
    started_at = excluded.started_at,
    seconds = excluded.seconds,
    outcome = excluded.outcome,
    result = excluded.result,
    succeeded_at = coalesce(excluded.succeeded_at, kept.succeeded_at);

-- name: last_job_runs
-- status.read, on the primary; whole table, a row for each job.
SELECT
    job,
    started_at,
    seconds,
    outcome,
    result,
    succeeded_at
FROM job_runs;

-- name: how_far
-- status.read, on the primary. The log of late hours is short; the oldest instants mean that nothing was done yet.
SELECT
    nullif(state.rolled_to, '2000-01-01 00:00:00+00') AS rolled_to,
    nullif(state.sealed_to, '2000-01-01 00:00:00+00') AS sealed_to,
    (SELECT count(*) FROM rollup_dirty) AS late_hours
FROM rollup_state AS state;

-- name: pings_of_day
-- archive.write, on the primary; the month's partition, whole. In the order that packs best and that readers ask in.
SELECT
    student_id,
    "timestamp",
    device_id,
    latitude,
    longitude,
    accuracy,
    altitude,
    speed,
    course,
    battery,
    received_at,
    flags
FROM geolocation_data
WHERE
    "timestamp" >= $1
    AND "timestamp" < $2
ORDER BY
    student_id ASC,
    "timestamp" ASC,
    device_id ASC;

-- name: count_pings
-- archive.write, on the primary, behind pings_of_day; the month's partition, whole.
SELECT count(*) AS pings
FROM geolocation_data
WHERE
    "timestamp" >= $1
    AND "timestamp" < $2;
