-- name: mark_student
-- erasure.erase, on the primary; students_pkey. Within 5 s no service takes a gateway's ping of the student.
UPDATE students
SET erased_at = coalesce(erased_at, now())
WHERE student_id = $1
RETURNING
    erased_at,
    created_at;

-- name: revoke_devices
-- erasure.erase, on the primary, in the transaction of mark_student; idx_devices_student.
UPDATE devices
SET
    revoked_at = coalesce(revoked_at, now()),
    previous_digest = NULL,
    previous_until = NULL,
    owntracks_key = NULL
WHERE student_id = $1
RETURNING device_id;

-- name: note_erasure
-- erasure.erase, on the primary, in the transaction of mark_student, and for what only the ledger has; erasures_pkey.
INSERT INTO erasures AS noted (
    student_id,
    erased_at,
    device_ids
) VALUES (
    $1,
    coalesce($2, now()),
    $3
)
ON CONFLICT (student_id, erased_at) DO UPDATE
    SET device_ids = excluded.device_ids
RETURNING
    student_id,
    erased_at,
    device_ids;

-- name: erasures_noted
-- erasure.replay and erasure.erase, on the primary; whole table, a row for each erasure.
SELECT
    student_id,
    erased_at,
    device_ids
FROM erasures
ORDER BY
    erased_at,
    student_id;

-- name: student_added_at
-- erasure.erase and erasure.replay, on the primary; students_pkey. No row: no such student.
SELECT created_at
FROM students
WHERE student_id = $1;

-- name: seconds_to_settle
-- erasure.erase, on the primary; students_pkey, idx_devices_student. Until what was marked last has been so for a
-- minute, by the clock of the trigger device_is_revoked_before_delete.
SELECT
    coalesce(
        extract(EPOCH FROM max(marked.at) + interval '1 minute' - clock_timestamp()), 0
    )::double precision AS seconds
FROM (
    SELECT erased_at AS at
    FROM students
    WHERE student_id = any($1)
    UNION ALL
    SELECT revoked_at
    FROM devices
    WHERE student_id = any($1)
) AS marked;

-- name: erase_pings
-- erasure.erase, on the primary, in pieces; the instants name the month, idx_geolocation_student_timestamp.
DELETE FROM geolocation_data
WHERE
    student_id = $1
    AND "timestamp" >= $2
    AND "timestamp" < $3
    AND "timestamp" >= (
        SELECT min(piece."timestamp")
        FROM (
            SELECT "timestamp"
            FROM geolocation_data
            WHERE
                student_id = $1
                AND "timestamp" >= $2
                AND "timestamp" < $3
            ORDER BY "timestamp" DESC
            LIMIT $4
        ) AS piece
    );

-- name: detached_months
-- erasure.erase, on the primary. Catalog only: tables that were months, or are to become some again.
SELECT class.relname AS table_name
FROM pg_class AS class
WHERE
    class.relkind = 'r'
    AND class.relnamespace = (
        SELECT parent.relnamespace
        FROM pg_class AS parent
        WHERE parent.oid = 'geolocation_data'::regclass
    )
    AND class.relname ~ '^geolocation_data_y[0-9]{4}m[0-9]{2}$'
    AND NOT EXISTS (
        SELECT
        FROM pg_inherits AS inheritance
        WHERE
            inheritance.inhrelid = class.oid
            AND NOT inheritance.inhdetachpending
    )
ORDER BY class.relname;

-- name: erase_hours
-- erasure.erase, on the primary; geolocation_hourly_pkey. A year's at most.
DELETE FROM geolocation_hourly
WHERE student_id = $1;

-- name: erase_days
-- erasure.erase, on the primary; geolocation_daily_pkey.
DELETE FROM geolocation_daily
WHERE student_id = $1;

-- name: erase_late_hours
-- erasure.erase, on the primary. The log is short.
DELETE FROM rollup_dirty
WHERE student_id = $1;

-- name: erase_rejects
-- erasure.erase, on the primary; whole table.
DELETE FROM rejected_pings
WHERE rejected_id IN (SELECT rejected_id FROM rejects_of($1, $2));

-- name: is_held
-- erasure.erase and erasure.replay, on the primary: whether anything of the student is left; the keys of all but
-- rollup_dirty, which is short, and rejected_pings, whole. A gateway may go on to name the student: what it then
-- sends is for delete_rejects_of_erased.
SELECT exists(
    SELECT student_id
    FROM students
    WHERE student_id = $1
    UNION ALL
    SELECT student_id
    FROM devices
    WHERE student_id = $1
    UNION ALL
    SELECT student_id
    FROM guardianships
    WHERE student_id = $1
    UNION ALL
    SELECT student_id
    FROM geolocation_data
    WHERE student_id = $1
    UNION ALL
    SELECT student_id
    FROM geolocation_hourly
    WHERE student_id = $1
    UNION ALL
    SELECT student_id
    FROM geolocation_daily
    WHERE student_id = $1
    UNION ALL
    SELECT student_id
    FROM rollup_dirty
    WHERE student_id = $1
    UNION ALL
    SELECT rejected_id
    FROM rejects_of($1, $2)
    WHERE reason <> 'unknown_student'
) AS is_held;

-- name: erase_viewers
-- erasure.erase, on the primary; idx_guardianships_student, guardianships_pkey. Guardians of this student and of
-- nobody else, with address and password; guardianship, sessions and shares go with them. Staff and administrators
-- stay, also those who are a guardian of nobody else.
DELETE FROM viewers AS viewer
WHERE
    viewer.role = 'guardian'
    AND NOT viewer.sees_all
    AND viewer.viewer_id IN (
        SELECT guardianship.viewer_id
        FROM guardianships AS guardianship
        WHERE guardianship.student_id = $1
    )
    AND NOT EXISTS (
        SELECT
        FROM guardianships AS other
        WHERE
            other.viewer_id = viewer.viewer_id
            AND other.student_id <> $1
    )
    AND NOT EXISTS (
        SELECT
        FROM staff_scopes AS scope
        WHERE scope.viewer_id = viewer.viewer_id
    );

-- name: erase_guardianships
-- erasure.erase, on the primary, behind erase_viewers; idx_guardianships_student.
DELETE FROM guardianships
WHERE student_id = $1;

-- name: erase_devices
-- erasure.erase, on the primary; idx_devices_student. Refused for what is not revoked for a minute.
DELETE FROM devices
WHERE student_id = $1;

-- name: erase_student
-- erasure.erase, on the primary, last; students_pkey.
DELETE FROM students
WHERE student_id = $1;

-- name: note_erased
-- erasure.erase, on the primary, once nothing is left; erasures_pkey.
UPDATE erasures
SET finished_at = now()
WHERE
    student_id = $1
    AND erased_at = $2;
