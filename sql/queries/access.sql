-- name: current_snapshot
-- credentials.Credentials.refresh, on the primary; no table. The timeline is the first part of a WAL file's name.
SELECT
    left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) AS timeline,
    pg_snapshot_xmin(pg_current_snapshot())::text AS oldest_running,
    pg_snapshot_xmax(pg_current_snapshot())::text AS next_unassigned,
    now() AS read_at;

-- name: devices_all
-- credentials.Credentials.refresh, on the primary, once at start; whole table.
SELECT
    device_id,
    student_id,
    token_digest,
    previous_digest,
    previous_until,
    owntracks_key
FROM devices
WHERE revoked_at IS NULL;

-- name: devices_changed
-- credentials.Credentials.refresh, on the primary, each second; idx_devices_changed.
-- Every transaction below $1 had ended before the last poll, so no row is missed however late it commits;
-- stamps at or above $2 come from before a dump and restore.
SELECT
    device_id,
    student_id,
    token_digest,
    previous_digest,
    previous_until,
    owntracks_key,
    revoked_at IS NOT NULL AS revoked
FROM devices
WHERE
    changed_in >= $1::text::xid8
    AND changed_in < $2::text::xid8;

-- name: students_all
-- credentials.Credentials.refresh, on the primary, once at start; whole table.
SELECT student_id
FROM students
WHERE erased_at IS NULL;

-- name: students_changed
-- credentials.Credentials.refresh, on the primary, each second; idx_students_changed.
SELECT
    student_id,
    erased_at IS NOT NULL AS is_erased
FROM students
WHERE
    changed_in >= $1::text::xid8
    AND changed_in < $2::text::xid8;

-- name: viewer_by_token
-- viewers.students, on the replica or the primary; viewer_token_is_unique.
SELECT
    viewer_id,
    sees_all
FROM viewers
WHERE
    token_digest = $1
    AND revoked_at IS NULL;

-- name: viewer_may_see
-- viewers.require, on the replica or the primary; viewer_token_is_unique, guardianships_pkey, students_pkey.
-- No row: no such viewer.
SELECT
    viewer.viewer_id,
    exists(
        SELECT
        FROM students AS student
        WHERE
            student.student_id = $2
            AND (
                viewer.sees_all
                OR EXISTS (
                    SELECT
                    FROM guardianships AS guardianship
                    WHERE
                        guardianship.viewer_id = viewer.viewer_id
                        AND guardianship.student_id = student.student_id
                )
            )
    ) AS allowed
FROM viewers AS viewer
WHERE
    viewer.token_digest = $1
    AND viewer.revoked_at IS NULL;

-- name: viewer_students
-- viewers.students, on the replica or the primary; guardianships_pkey, students_pkey.
SELECT student.student_id
FROM students AS student
WHERE
    ($2::boolean OR student.student_id IN (
        SELECT guardianship.student_id
        FROM guardianships AS guardianship
        WHERE guardianship.viewer_id = $1
    ))
    AND ($3::bigint[] IS NULL OR student.student_id = any($3))
ORDER BY student.student_id
LIMIT $4;

-- name: record_lookups
-- audit.Audit, on the primary: all look-ups that wait, in one statement and so in one commit.
INSERT INTO lookups (
    viewer_id,
    student_id,
    kind,
    window_from,
    window_to,
    rows
)
SELECT
    viewer_id,
    student_id,
    kind,
    window_from,
    window_to,
    rows
FROM unnest(
    $1::integer[],
    $2::bigint[],
    $3::text[],
    $4::timestamptz[],
    $5::timestamptz[],
    $6::integer[]
) AS lookup (
    viewer_id,
    student_id,
    kind,
    window_from,
    window_to,
    rows
);
