-- name: student_held
-- bundle.write, on the primary; students_pkey.
SELECT
    student_id,
    school_id,
    created_at
FROM students
WHERE student_id = $1;

-- name: devices_held
-- bundle.write, on the primary; idx_devices_student. Neither digests nor keys.
SELECT
    device_id,
    created_at,
    revoked_at
FROM devices
WHERE student_id = $1
ORDER BY device_id;

-- name: guardianships_held
-- bundle.write, on the primary; idx_guardianships_student.
SELECT
    viewer_id,
    created_at
FROM guardianships
WHERE student_id = $1
ORDER BY viewer_id;

-- name: shares_held
-- bundle.write, on the primary; idx_shares_student. No digests.
SELECT
    share_id,
    viewer_id,
    created_at,
    ends_at,
    revoked_at
FROM shares
WHERE student_id = $1
ORDER BY share_id;

-- name: hours_held
-- bundle.write, on the primary; geolocation_hourly_pkey. A year's at most.
SELECT
    hour,
    pings,
    devices,
    first_at,
    first_latitude,
    first_longitude,
    first_accuracy,
    first_speed,
    last_at,
    last_latitude,
    last_longitude,
    last_accuracy,
    latitude,
    longitude,
    south,
    west,
    north,
    east,
    distance_m,
    moving_seconds,
    max_speed,
    accuracy
FROM geolocation_hourly
WHERE student_id = $1
ORDER BY hour;

-- name: days_held
-- bundle.write, on the primary; geolocation_daily_pkey.
SELECT
    day,
    pings,
    devices,
    first_at,
    first_latitude,
    first_longitude,
    last_at,
    last_latitude,
    last_longitude,
    latitude,
    longitude,
    south,
    west,
    north,
    east,
    distance_m,
    moving_seconds,
    max_speed,
    accuracy
FROM geolocation_daily
WHERE student_id = $1
ORDER BY day;

-- name: rejects_held
-- bundle.write, on the primary; idx_devices_student; rejected_pings, whole.
SELECT
    rejected.received_at,
    rejected.device_id,
    rejected.reason,
    rejected.raw
FROM (
    SELECT array_agg(device_id) AS device_ids
    FROM devices
    WHERE student_id = $1
) AS own
CROSS JOIN LATERAL rejects_of($1, own.device_ids) AS rejected
ORDER BY rejected.rejected_id;

-- name: pings_held
-- bundle.write, on the primary, by a cursor; idx_geolocation_student_timestamp, backwards.
SELECT
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
    student_id = $1
    AND "timestamp" >= $2
    AND "timestamp" < $3
ORDER BY
    "timestamp" ASC,
    device_id DESC;

-- name: lookups_held
-- bundle.write, on the primary; lookups_pkey.
SELECT
    viewer_id,
    share_id,
    kind,
    window_from,
    window_to,
    rows,
    looked_at
FROM lookups
WHERE student_id = $1
ORDER BY looked_at;
