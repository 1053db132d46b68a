-- name: close
-- retention.run_once, on the primary, in a transaction of its own: nothing from before it is taken any more.
UPDATE rollup_state
SET closed_to = greatest(closed_to, $1);

-- name: sealed_to
-- retention.run_once, on the primary.
SELECT sealed_to
FROM rollup_state;

-- name: count_unequal
-- retention.run_once, on the primary: what keeps the hours that begin within [$1, $2) from being final.
-- Once for each day; idx_geolocation_timestamp, idx_geolocation_hourly_hour.
WITH zones AS (
    SELECT
        student.student_id,
        school.time_zone
    FROM students AS student
    INNER JOIN schools AS school ON student.school_id = school.school_id
),

counted AS (
    SELECT
        ping.student_id,
        date_trunc('hour', ping."timestamp", coalesce(zones.time_zone, 'UTC')) AS hour,
        count(*) AS pings
    FROM geolocation_data AS ping
    LEFT JOIN zones ON ping.student_id = zones.student_id
    WHERE
        ping."timestamp" >= $1
        AND ping."timestamp" < $2::timestamptz + interval '90 minutes'
    GROUP BY
        ping.student_id,
        hour
),

hourly AS (
    SELECT
        kept.student_id,
        kept.hour,
        kept.pings,
        (kept.hour AT TIME ZONE coalesce(zones.time_zone, 'UTC'))::date AS day
    FROM geolocation_hourly AS kept
    LEFT JOIN zones ON kept.student_id = zones.student_id
    WHERE
        kept.hour >= $1::timestamptz - interval '25 hours'
        AND kept.hour < $2::timestamptz + interval '25 hours'
),

unequal_hours AS (
    SELECT count(*) AS hours
    FROM counted
    FULL JOIN hourly
        ON counted.student_id = hourly.student_id AND counted.hour = hourly.hour
    WHERE
        coalesce(counted.hour, hourly.hour) >= $1
        AND coalesce(counted.hour, hourly.hour) < $2
        AND counted.pings IS DISTINCT FROM hourly.pings
),

touched_days AS (
    SELECT
        student_id,
        day,
        sum(pings) AS pings
    FROM hourly
    GROUP BY
        student_id,
        day
    HAVING bool_or(hour >= $1 AND hour < $2)
),

unequal_days AS (
    SELECT count(*) AS days
    FROM touched_days
    LEFT JOIN geolocation_daily AS daily
        ON touched_days.student_id = daily.student_id AND touched_days.day = daily.day
    WHERE touched_days.pings IS DISTINCT FROM daily.pings
),

late AS (
    SELECT count(*) AS late
    FROM rollup_dirty
    WHERE hour < $2::timestamptz + interval '90 minutes'
)

SELECT
    late.late,
    unequal_hours.hours,
    unequal_days.days,
    state.rolled_to < $2::timestamptz + interval '90 minutes' AS is_open
FROM late
CROSS JOIN unequal_hours
CROSS JOIN unequal_days
CROSS JOIN rollup_state AS state;

-- name: note_sealed
-- retention.run_once, on the primary, in the transaction of count_unequal.
UPDATE rollup_state
SET sealed_to = greatest(sealed_to, $1);

-- name: count_blocks
-- retention.run_once, on the primary. Catalog and file size.
SELECT pg_relation_size($1::text::regclass) / current_setting('block_size')::integer AS blocks;

-- name: delete_expired_pings
-- retention.run_once, on the primary; the timestamps name the partition, the blocks are read by number.
DELETE FROM geolocation_data
WHERE
    ctid >= $1::text::tid
    AND ctid < $2::text::tid
    AND "timestamp" >= $3
    AND "timestamp" < $4;

-- name: delete_expired_hours
-- retention.run_once, on the primary, in pieces; idx_geolocation_hourly_hour.
DELETE FROM geolocation_hourly
WHERE
    ctid = any(array(
        SELECT ctid
        FROM geolocation_hourly
        WHERE hour < $1
        ORDER BY hour
        LIMIT $2
    ));

-- name: delete_expired_days
-- retention.run_once, on the primary, in pieces; idx_geolocation_daily_day.
DELETE FROM geolocation_daily
WHERE
    ctid = any(array(
        SELECT ctid
        FROM geolocation_daily
        WHERE day < ($1::timestamptz AT TIME ZONE 'UTC')::date
        ORDER BY day
        LIMIT $2
    ));
