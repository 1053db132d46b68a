-- name: move_watermark
-- rollups.run_once, on the primary, in a transaction of its own: pings from before it are late from now on.
UPDATE rollup_state
SET watermark = greatest(watermark, $1)
RETURNING
    watermark,
    rolled_to;

-- name: next_transaction
-- barrier.wait_for_writers, on the primary: whoever has read rollup_state as it was is older.
SELECT pg_snapshot_xmax(pg_current_snapshot())::text AS "next";

-- name: are_writers_done
-- barrier.wait_for_writers, on the primary: whether every transaction with a lower number has ended.
SELECT pg_snapshot_xmin(pg_current_snapshot()) >= $1::text::xid8 AS are_done;

-- name: earliest_hour
-- rollups.run_once, on the primary: where an hour began, on any school's clock, that holds $1. Small.
SELECT min(date_trunc('hour', $1::timestamptz, zones.time_zone)) AS begins_at
FROM (
    SELECT 'UTC' AS time_zone
    UNION ALL
    SELECT time_zone FROM schools
) AS zones;

-- name: earliest_day
-- rollups.run_once, on the primary: the same for the day.
SELECT min(date_trunc('day', $1::timestamptz, zones.time_zone)) AS begins_at
FROM (
    SELECT 'UTC' AS time_zone
    UNION ALL
    SELECT time_zone FROM schools
) AS zones;

-- name: roll_range
-- rollups.run_once, on the primary; idx_geolocation_timestamp; then geolocation_hourly_pkey.
SELECT
    roll_hours(0, 9223372036854775807, $1, $2) AS hours,
    roll_days(0, 9223372036854775807, $3, $2) AS days;

-- name: note_rolled
-- rollups.run_once, on the primary, in the transaction of roll_range.
UPDATE rollup_state
SET rolled_to = greatest(rolled_to, $1);

-- name: take_dirty
-- rollups.run_once, on the primary, in the transaction of roll_dirty_hours. The log is short.
DELETE FROM rollup_dirty
WHERE
    ctid = any(array(
        SELECT ctid FROM rollup_dirty
        ORDER BY hour LIMIT $1
    ))
RETURNING
    student_id,
    hour;

-- name: roll_dirty_hours
-- rollups.run_once, on the primary; for each pair idx_geolocation_student_timestamp. Hours are UTC's: ninety
-- minutes reach to the end of a school's hour that begins within them.
SELECT
    coalesce(sum(roll_hours(
        dirty.student_id,
        dirty.student_id,
        date_trunc('hour', dirty.hour, coalesce(school.time_zone, 'UTC')),
        dirty.hour + interval '90 minutes'
    )), 0)::bigint AS hours
FROM unnest($1::bigint[], $2::timestamptz[]) AS dirty (student_id, hour)
LEFT JOIN students AS student ON dirty.student_id = student.student_id
LEFT JOIN schools AS school ON student.school_id = school.school_id;

-- name: roll_dirty_days
-- rollups.run_once, on the primary, behind roll_dirty_hours; for each pair geolocation_hourly_pkey.
SELECT
    coalesce(sum(roll_days(
        touched.student_id,
        touched.student_id,
        touched.begins_at,
        touched.ends_at
    )), 0)::bigint AS days
FROM (
    SELECT
        dirty.student_id,
        date_trunc('day', dirty.hour, coalesce(school.time_zone, 'UTC')) AS begins_at,
        max(dirty.hour) + interval '90 minutes' AS ends_at
    FROM unnest($1::bigint[], $2::timestamptz[]) AS dirty (student_id, hour)
    LEFT JOIN students AS student ON dirty.student_id = student.student_id
    LEFT JOIN schools AS school ON student.school_id = school.school_id
    GROUP BY
        dirty.student_id,
        begins_at
) AS touched;
