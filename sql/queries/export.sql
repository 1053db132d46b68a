-- name: student_held
-- bundle.write, on the primary; students_pkey, schools_pkey, classes_pkey. School and class also as the platform
-- calls them.
SELECT
    student.student_id,
    student.external_id,
    student.school_id,
    school.external_id AS school,
    student.class_id,
    class.external_id AS class,
    student.created_at
FROM students AS student
LEFT JOIN schools AS school ON student.school_id = school.school_id
LEFT JOIN classes AS class ON student.class_id = class.class_id
WHERE student.student_id = $1;

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
-- bundle.write, on the primary; idx_guardianships_student. No end, and no beginning, is NULL: the driver knows no
-- infinity.
SELECT
    viewer_id,
    created_at,
    school_hours_only,
    nullif(valid_from, '-infinity') AS valid_from,
    nullif(valid_until, 'infinity') AS valid_until,
    nullif(consent_until, 'infinity') AS consent_until
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
-- bundle.write, on the primary; lookups_pkey, lookup_group_students_pkey, group_lookups_pkey.
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
UNION ALL
SELECT
    lookup.viewer_id,
    NULL,
    'locations',
    NULL,
    NULL,
    lookup.rows,
    lookup.looked_at
FROM lookup_group_students AS member
INNER JOIN group_lookups AS lookup ON member.group_id = lookup.group_id
WHERE member.student_id = $1
ORDER BY looked_at;
