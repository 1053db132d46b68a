-- name: reserve_ids
-- provision.bulk, on the primary: as many numbers of an identity column as rows will be copied in.
SELECT nextval(pg_get_serial_sequence($1, $2)) AS id
FROM generate_series(1, $3::integer);

-- name: reserve_student_ids
-- provision.bulk, on the primary; students_pkey. At most as many as asked for.
SELECT next.student_id
FROM (
    SELECT nextval(pg_get_serial_sequence('students', 'student_id')) AS student_id
    FROM generate_series(1, $1::integer)
) AS next
WHERE
    NOT EXISTS (
        SELECT
        FROM students AS student
        WHERE student.student_id = next.student_id
    )
ORDER BY next.student_id;

-- name: add_device
-- provision.add_device, on the primary. $1 NULL: a gateway; $3 NULL: it does not encrypt.
INSERT INTO devices (
    student_id,
    token_digest,
    owntracks_key
) VALUES (
    $1,
    $2,
    $3
)
RETURNING device_id;

-- name: add_student
-- provision.add_device, on the primary: a student whose number the school platform chose.
INSERT INTO students (student_id) VALUES ($1)
ON CONFLICT DO NOTHING;

-- name: student_of
-- schools.student_of, on the primary; student_external_id_is_unique. No row: none, or one who is being erased.
SELECT student_id
FROM students
WHERE
    external_id = $1
    AND erased_at IS NULL;

-- name: rotate_device
-- provision.rotate_device, on the primary; devices_pkey. No row: no such device, or a revoked one.
UPDATE devices
SET
    token_digest = $2,
    previous_digest = CASE WHEN $3::interval > interval '0' THEN token_digest END,
    previous_until = CASE WHEN $3::interval > interval '0' THEN now() + $3::interval END
WHERE
    device_id = $1
    AND revoked_at IS NULL
RETURNING previous_until;

-- name: revoke_device
-- provision.revoke_device, on the primary; devices_pkey. What it encrypted with is of no more use to us.
UPDATE devices
SET
    revoked_at = coalesce(revoked_at, now()),
    previous_digest = NULL,
    previous_until = NULL,
    owntracks_key = NULL
WHERE device_id = $1
RETURNING device_id;

-- name: add_viewer
-- provision.add_viewer, on the primary; viewer_external_id_is_unique. No row: there is one of this external id.
INSERT INTO viewers (
    token_digest,
    sees_all,
    role,
    external_id
) VALUES (
    $1,
    $2,
    $3,
    $4
)
ON CONFLICT (external_id) DO NOTHING
RETURNING viewer_id;

-- name: revoke_viewer
-- provision.revoke_viewer, on the primary; viewers_pkey.
UPDATE viewers
SET
    revoked_at = coalesce(revoked_at, now()),
    token_digest = NULL,
    password_hash = NULL
WHERE viewer_id = $1
RETURNING viewer_id;

-- name: add_guardianships
-- provision.add_viewer, on the primary; the foreign key names a student that is not there.
INSERT INTO guardianships (
    viewer_id,
    student_id
)
SELECT
    $1,
    student_id
FROM unnest($2::bigint[]) AS wanted (student_id);

-- name: unknown_students
-- schools.require_students, on the primary; students_pkey.
SELECT wanted.student_id
FROM unnest($1::bigint[]) AS wanted (student_id)
WHERE
    NOT EXISTS (
        SELECT
        FROM students AS student
        WHERE student.student_id = wanted.student_id
    )
ORDER BY wanted.student_id;

-- name: live_devices
-- provision.still_live, on the primary; device_token_is_unique, previous_token_is_unique.
SELECT device_id
FROM devices
WHERE
    (token_digest = any($1) OR (previous_digest = any($1) AND previous_until > now()))
    AND revoked_at IS NULL;

-- name: time_zone_named
-- schools.add, on the primary; reads every file of the server's time zones. No row: a typo, or an abbreviation,
-- which would know of no summer time.
SELECT name
FROM pg_timezone_names
WHERE lower(name) = lower($1);

-- name: add_school
-- schools.add, on the primary.
INSERT INTO schools (time_zone) VALUES ($1)
RETURNING school_id;

-- name: school
-- schools.require, on the primary; schools_pkey. Held until the transaction ends, so that it is still there then.
SELECT school_id
FROM schools
WHERE school_id = $1
FOR KEY SHARE;

-- name: move_students
-- schools.move, on the primary; students_pkey, or with $2 NULL the whole table.
UPDATE students
SET school_id = $1
WHERE
    ($2::bigint[] IS NULL OR student_id = any($2))
    AND school_id IS DISTINCT FROM $1;
