-- name: try_lock
-- migrations.run and jobs.run_once, on the primary, direct connection. Polled, never waited for:
-- a waiting session would deadlock with CREATE INDEX CONCURRENTLY.
SELECT pg_try_advisory_lock($1) AS held;

-- name: unlock
-- migrations.run and jobs.run_once, on the primary, direct connection.
SELECT pg_advisory_unlock($1);

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
-- runway.Runway.look, on the primary. Catalog only; the names sort by month.
SELECT
    count(*) FILTER (WHERE child.relname > this.month_name) AS ahead,
    count(*) FILTER (WHERE child.relname = this.month_name) = 1 AS has_this_month
FROM pg_inherits AS inheritance
INNER JOIN pg_class AS child ON inheritance.inhrelid = child.oid
CROSS JOIN (
    SELECT to_char(now() AT TIME ZONE 'UTC', '"geolocation_data_y"YYYY"m"MM') AS month_name
) AS this
WHERE inheritance.inhparent = 'geolocation_data'::regclass;
