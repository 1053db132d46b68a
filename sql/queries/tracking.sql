-- name: newest_ping
-- latest.fetch, on the replica or the primary; idx_geolocation_student_timestamp.
-- The window keeps the plan to the partitions it names; the caller widens it when nothing is found.
SELECT
    student_id,
    device_id,
    "timestamp",
    latitude,
    longitude,
    accuracy,
    altitude,
    speed,
    course,
    battery,
    received_at
FROM geolocation_data
WHERE
    student_id = $1
    AND "timestamp" >= $2
    AND "timestamp" < $3
ORDER BY "timestamp" DESC
LIMIT 1;

-- name: newest_pings
-- latest.fetch_many, on the replica or the primary; one descent of idx_geolocation_student_timestamp per student.
SELECT
    ping.student_id,
    ping.device_id,
    ping."timestamp",
    ping.latitude,
    ping.longitude,
    ping.accuracy,
    ping.altitude,
    ping.speed,
    ping.course,
    ping.battery,
    ping.received_at
FROM unnest($1::bigint[]) AS wanted (student_id)
CROSS JOIN LATERAL (
    SELECT newest.*
    FROM geolocation_data AS newest
    WHERE
        newest.student_id = wanted.student_id
        AND newest."timestamp" >= $2
        AND newest."timestamp" < $3
    ORDER BY newest."timestamp" DESC
    LIMIT 1
) AS ping;

-- name: track_points
-- track.fetch, on the replica or the primary; idx_geolocation_student_timestamp read backwards, hence device_id falling.
SELECT
    device_id,
    "timestamp",
    latitude,
    longitude,
    accuracy,
    altitude,
    speed,
    course,
    battery,
    received_at
FROM geolocation_data
WHERE
    student_id = $1
    AND "timestamp" >= $2
    AND "timestamp" < $3
    AND ("timestamp" > $2 OR device_id < $4)
ORDER BY
    "timestamp" ASC,
    device_id DESC
LIMIT $5;

-- name: primary_position
-- lag.sample, on the primary. Flushed, not inserted: idle WAL behind the flush point never reaches a replica.
SELECT (pg_current_wal_flush_lsn() - '0/0'::pg_lsn)::bigint AS flushed_bytes;

-- name: replica_position
-- lag.sample, on the replica. A promoted replica has no replay position to follow: it is a primary now.
SELECT
    pg_is_in_recovery() AS in_recovery,
    (pg_last_wal_replay_lsn() - '0/0'::pg_lsn)::bigint AS replayed_bytes,
    CASE WHEN pg_is_in_recovery() THEN pg_is_wal_replay_paused() ELSE FALSE END AS paused;
