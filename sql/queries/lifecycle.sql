-- name: try_lock
-- migrations.run and jobs.run_once, on the primary, direct connection. Polled, never waited for:
-- a waiting session would deadlock with CREATE INDEX CONCURRENTLY.
SELECT pg_try_advisory_lock($1) AS held;

-- name: unlock
-- migrations.run and jobs.run_once, on the primary, direct connection.
SELECT pg_advisory_unlock($1);

-- name: put_timeouts_in_force
-- migrations.run, on the primary, each time, because a dump and restore loses them. They live with the role:
-- poolers refuse them as start-up parameters and some hosts drop them silently.
-- The keepalives: a client that is gone without a word in the middle of a COPY holds its keys, and no other
-- timeout ends that. Half a minute instead of Linux's two hours; without effect on a unix socket.
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

-- name: list_partitions
-- partitions.ensure, on the primary. Catalog only; small.
SELECT child.relname AS partition_name
FROM pg_inherits AS inheritance
INNER JOIN pg_class AS child ON inheritance.inhrelid = child.oid
WHERE inheritance.inhparent = 'geolocation_data'::regclass
ORDER BY child.relname;

-- name: delete_expired_rejections
-- quarantine.expire, on the primary, in pieces so that no statement runs long; idx_rejected_pings_received.
DELETE FROM rejected_pings
WHERE rejected_id IN (
    SELECT rejected_id
    FROM rejected_pings
    WHERE received_at < $1
    ORDER BY received_at
    LIMIT $2
);

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
WHERE inheritance.inhparent = 'geolocation_data'::regclass;
