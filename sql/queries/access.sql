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
-- credentials.Credentials.refresh, on the primary, each second; idx_students_changed. In pieces: an import may have
-- changed a hundred thousand, and a row for each kept the loop busy for 70 ms.
SELECT
    is_erased,
    array_agg(student_id) AS student_ids
FROM (
    SELECT
        student_id,
        erased_at IS NOT NULL AS is_erased,
        row_number() OVER () / 5000 AS piece
    FROM students
    WHERE
        changed_in >= $1::text::xid8
        AND changed_in < $2::text::xid8
) AS changed
GROUP BY
    is_erased,
    piece;

-- name: bearers_by_token
-- bearers.Bearers, on the primary; viewer_token_is_unique, session_token_is_unique, share_token_is_unique; of
-- school_of guardianships_pkey and staff_scope_is_unique. No row: the token is unknown, or has ended.
WITH bearer AS (
    SELECT
        token_digest AS key,
        viewer_id,
        0::bigint AS session_id,
        0 AS share_id
    FROM viewers
    WHERE
        token_digest = any($1::bytea[])
        AND revoked_at IS NULL
    UNION ALL
    SELECT
        session.token_digest,
        session.viewer_id,
        session.session_id,
        0
    FROM sessions AS session
    INNER JOIN viewers AS viewer ON session.viewer_id = viewer.viewer_id
    WHERE
        session.token_digest = any($1::bytea[])
        AND session.ends_at > now()
        AND session.used_at + session.idle_seconds * interval '1 second' > now()
        AND viewer.revoked_at IS NULL
    UNION ALL
    SELECT
        share.token_digest,
        share.viewer_id,
        0,
        share.share_id
    FROM shares AS share
    INNER JOIN viewers AS viewer ON share.viewer_id = viewer.viewer_id
    WHERE
        share.token_digest = any($1::bytea[])
        AND share.ends_at > now()
        AND share.revoked_at IS NULL
        AND viewer.revoked_at IS NULL
)

SELECT
    key,
    viewer_id,
    session_id,
    share_id,
    coalesce(school_of(viewer_id), 0) AS school_id
FROM bearer;

-- name: viewer_and_students
-- viewers.Viewers.me, on the primary; viewers_pkey, the keys of seen_by, students_pkey. One row at least: who sees nobody
-- is a viewer, too. No row: it was revoked.
SELECT
    viewer.role,
    seen.student_id,
    seen.external_id,
    seen.class_id,
    seen.school_id
FROM viewers AS viewer
LEFT JOIN LATERAL (
    SELECT
        student.student_id,
        student.external_id,
        student.class_id,
        student.school_id
    FROM seen_by(viewer.viewer_id, $2, 0, NULL) AS rule
    INNER JOIN students AS student ON rule.student_id = student.student_id
    ORDER BY student.student_id
    LIMIT $3
) AS seen ON TRUE
WHERE
    viewer.viewer_id = $1
    AND viewer.revoked_at IS NULL;

-- name: school_of_seen
-- viewers.Viewers.school, on the primary; schools_pkey, idx_students_school, the keys of seen_by. No row: there is no
-- such school, or the viewer sees none of its students. Staff see whole classes, so that one of each tells; all 3,500
-- took 27 ms.
SELECT
    school.school_id,
    school.external_id,
    school.time_zone,
    school.opens_at,
    school.closes_at,
    school.weekdays,
    array(
        SELECT holiday.day
        FROM school_holidays AS holiday
        WHERE
            holiday.school_id = school.school_id
            AND holiday.day >= (now() AT TIME ZONE school.time_zone)::date
        ORDER BY holiday.day
    ) AS holidays
FROM schools AS school
WHERE
    school.school_id = $3
    AND EXISTS (
        SELECT
        FROM seen_by($1, $2, 0, array(
            SELECT min(student_id) FROM students
            WHERE school_id = $3 AND erased_at IS NULL
            GROUP BY class_id
            UNION ALL
            SELECT guardianship.student_id
            FROM guardianships AS guardianship
            INNER JOIN students AS student ON guardianship.student_id = student.student_id
            WHERE guardianship.viewer_id = $1 AND student.school_id = $3
        ))
    );

-- name: class_of_seen
-- viewers.Viewers.students_of_class, on the primary; classes_pkey, idx_students_school, the keys of seen_by. No row: there
-- is no such class, or the viewer sees none of its students.
SELECT
    student.student_id,
    student.external_id,
    student.class_id,
    student.school_id
FROM
    seen_by($1, $2, 0, array(
        SELECT pupil.student_id
        FROM classes AS class
        INNER JOIN students AS pupil
            ON class.school_id = pupil.school_id AND class.class_id = pupil.class_id
        WHERE class.class_id = $3
    )) AS rule
INNER JOIN students AS student ON rule.student_id = student.student_id
ORDER BY student.student_id;
-- name: bearers_by_external_id
-- bearers.Bearers, on the primary; viewer_external_id_is_unique. Whom tokens of the platform mean.
SELECT
    external_id AS key,
    viewer_id,
    0::bigint AS session_id,
    0 AS share_id,
    coalesce(school_of(viewer_id), 0) AS school_id
FROM viewers
WHERE
    external_id = any($1::text[])
    AND revoked_at IS NULL;

-- name: sees
-- bearers.Bearers.require, on the primary; by the keys of seen_by.
SELECT exists(SELECT FROM seen_by($1, $2, $3, ARRAY[$4::bigint])) AS sees;

-- name: record_lookups
-- ledger.write_rows, on the primary: all look-ups that wait, in one statement and so in one commit; only of whom the
-- bearer sees at this moment. Gives the answer's number and the student of those recorded. A session's last use is kept
-- to a minute; one that another process is just about to keep is left to it, or two could wait for each other.
WITH asked AS MATERIALIZED (
    SELECT *
    FROM unnest(
        $1::integer[],
        $2::integer[],
        $3::bigint[],
        $4::integer[],
        $5::bigint[],
        $6::text[],
        $7::timestamptz[],
        $8::timestamptz[],
        $9::integer[]
    ) AS lookup (
        number,
        viewer_id,
        session_id,
        share_id,
        student_id,
        kind,
        window_from,
        window_to,
        rows
    )
),

seen AS MATERIALIZED (
    SELECT
        bearer.viewer_id,
        bearer.session_id,
        bearer.share_id,
        rule.student_id
    FROM (
        SELECT
            viewer_id,
            session_id,
            share_id,
            array_agg(DISTINCT student_id) AS students
        FROM asked
        GROUP BY
            viewer_id,
            session_id,
            share_id
    ) AS bearer
    CROSS JOIN LATERAL seen_by(
        bearer.viewer_id, bearer.session_id, bearer.share_id, bearer.students
    ) AS rule
),

allowed AS MATERIALIZED (
    SELECT asked.*
    FROM asked
    INNER JOIN seen
        ON
            asked.viewer_id = seen.viewer_id
            AND asked.session_id = seen.session_id
            AND asked.share_id = seen.share_id
            AND asked.student_id = seen.student_id
),

recorded AS (
    INSERT INTO lookups (
        viewer_id,
        student_id,
        kind,
        window_from,
        window_to,
        rows,
        share_id
    )
    SELECT
        viewer_id,
        student_id,
        kind,
        window_from,
        window_to,
        rows,
        nullif(share_id, 0)
    FROM allowed
    ORDER BY number
),

used AS (
    UPDATE sessions
    SET used_at = now()
    WHERE
        session_id IN (
            SELECT session.session_id
            FROM sessions AS session
            WHERE
                session.session_id IN (SELECT allowed.session_id FROM allowed)
                AND session.used_at < now() - interval '1 minute'
            FOR UPDATE SKIP LOCKED
        )
)

SELECT
    number,
    student_id
FROM allowed;

-- name: record_many_lookups
-- ledger.write_groups, on the primary; by the keys of seen_by, group_is_unique. The same for answers that told of many
-- students each, who come as text: arrays of one array are all of one length. Of each answer the students of whom
-- nothing was recorded.
SELECT record_many(viewer_id, session_id, placed::bigint[], missing::bigint[]) AS refused
FROM
    unnest(
        $1::integer[],
        $2::bigint[],
        $3::text[],
        $4::text[]
    ) WITH ORDINALITY
        AS lookup (
            viewer_id,
            session_id,
            placed,
            missing,
            number
        )
ORDER BY number;
