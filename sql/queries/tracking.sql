-- name: seen_students
-- desk.Desk, on the replica or the primary; by the keys of seen_by. Whom the bearer sees, of those named to act_as.
SELECT student_id
FROM seen()
ORDER BY student_id
LIMIT $1;

-- name: newest_ping
-- latest.fetch, on the replica or the primary; idx_geolocation_student_timestamp.
-- The window keeps the plan to the partitions it names; the caller widens it when nothing is found. Flag 1 is a fix
-- that the app calls not valid.
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
FROM geolocation_seen
WHERE
    student_id = $1
    AND "timestamp" >= $2
    AND "timestamp" < $3
    AND coalesce(flags & 1, 0) = 0
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
    FROM geolocation_seen AS newest
    WHERE
        newest.student_id = wanted.student_id
        AND newest."timestamp" >= $2
        AND newest."timestamp" < $3
        AND coalesce(newest.flags & 1, 0) = 0
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
FROM geolocation_seen
WHERE
    student_id = $1
    AND "timestamp" >= $2
    AND "timestamp" < $3
    AND ("timestamp" > $2 OR device_id < $4)
ORDER BY
    "timestamp" ASC,
    device_id DESC
LIMIT $5;

-- name: track_hours
-- track.fetch, on the replica or the primary; geolocation_hourly_pkey. An hour is where its pings are, from the
-- first to the last: that takes no time zone. The bounds of `hour` itself are for the index.
SELECT
    hour,
    latitude,
    longitude,
    accuracy,
    pings,
    first_at,
    last_at,
    distance_m,
    moving_seconds,
    max_speed,
    south,
    west,
    north,
    east
FROM geolocation_hourly
WHERE
    student_id = $1
    AND hour > $2::timestamptz - interval '1 hour'
    AND hour < $3
    AND hour >= $4
    AND last_at >= $2
    AND first_at < $3
    AND first_at > $5
ORDER BY hour
LIMIT $6;

-- name: track_days
-- track.fetch, on the replica or the primary; geolocation_daily_pkey. The same for days; one day more on either
-- side of UTC's, because the school's may be elsewhere.
SELECT
    day,
    latitude,
    longitude,
    accuracy,
    pings,
    first_at,
    last_at,
    distance_m,
    moving_seconds,
    max_speed,
    south,
    west,
    north,
    east
FROM geolocation_daily
WHERE
    student_id = $1
    AND day >= ($2::timestamptz AT TIME ZONE 'UTC')::date - 1
    AND day <= ($3::timestamptz AT TIME ZONE 'UTC')::date + 1
    AND last_at >= $2
    AND first_at < $3
    AND first_at >= $4
    AND first_at > $5
ORDER BY day
LIMIT $6;

-- name: pings_in_hours
-- track.fitting, on the replica or the primary; geolocation_hourly_pkey, no more rows than it takes to know that
-- there are more than $4 - 1 pings. Only hours that lie within the window count.
SELECT coalesce(sum(pings), 0)::bigint AS pings
FROM (
    SELECT pings
    FROM geolocation_hourly
    WHERE
        student_id = $1
        AND hour > $2::timestamptz - interval '1 hour'
        AND hour < $3
        AND first_at >= $2
        AND last_at < $3
    ORDER BY hour
    LIMIT $4
) AS within;

-- name: count_hours
-- track.fitting, on the replica or the primary; geolocation_hourly_pkey, as track_hours.
SELECT count(*) AS hours
FROM (
    SELECT
    FROM geolocation_hourly
    WHERE
        student_id = $1
        AND hour > $2::timestamptz - interval '1 hour'
        AND hour < $3
        AND hour >= $4
        AND last_at >= $2
        AND first_at < $3
    ORDER BY hour
    LIMIT $5
) AS within;

-- name: has_days
-- track.fitting, on the replica or the primary; geolocation_daily_pkey. Whoever sees a student only since an instant
-- sees no day, in which there might be more.
SELECT count(*) > 0 AS has_days
FROM (
    SELECT
    FROM geolocation_daily
    WHERE
        student_id = $1
        AND day >= ($2::timestamptz AT TIME ZONE 'UTC')::date - 1
        AND day <= ($3::timestamptz AT TIME ZONE 'UTC')::date + 1
    ORDER BY day
    LIMIT 1
) AS within;

-- name: days_between
-- days.fetch, on the replica or the primary; geolocation_daily_pkey.
SELECT
    day,
    pings,
    first_at,
    last_at,
    distance_m,
    moving_seconds,
    max_speed
FROM geolocation_daily
WHERE
    student_id = $1
    AND day >= $2
    AND day <= $3
    AND first_at >= $4
ORDER BY day;

-- name: rolled_to
-- track.fetch, days.fetch, on the replica or the primary, before the rollups are read; the one row.
SELECT rolled_to FROM rollup_state;

-- name: lookups_of
-- lookups.fetch, on the replica or the primary; lookups_pkey read backwards, and group_lookups_pkey for each group that
-- the student is in, by lookup_group_students_pkey.
SELECT *
FROM (
    (
        SELECT
            lookup_id,
            viewer_id,
            share_id,
            kind,
            window_from,
            window_to,
            rows,
            looked_at
        FROM lookups
        WHERE
            student_id = $1
            AND looked_at >= $2
            AND (looked_at, lookup_id) < ($3, $4)
        ORDER BY
            looked_at DESC,
            lookup_id DESC
        LIMIT $5
    )
    UNION ALL
    SELECT
        of_group.lookup_id,
        of_group.viewer_id,
        NULL,
        'locations',
        NULL,
        NULL,
        of_group.rows,
        of_group.looked_at
    FROM lookup_group_students AS member
    CROSS JOIN
        LATERAL (
            SELECT
                one.lookup_id,
                one.viewer_id,
                one.rows,
                one.looked_at
            FROM group_lookups AS one
            WHERE
                one.group_id = member.group_id
                AND one.looked_at >= $2
                AND (one.looked_at, one.lookup_id) < ($3, $4)
            ORDER BY
                one.looked_at DESC,
                one.lookup_id DESC
            LIMIT $5
        ) AS of_group
    WHERE member.student_id = $1
) AS either
ORDER BY
    looked_at DESC,
    lookup_id DESC
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
