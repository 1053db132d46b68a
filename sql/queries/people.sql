-- name: stage_guardians
-- directory_import.put and directory_load.put, on the primary.
CREATE TEMPORARY TABLE staged (
    line integer NOT NULL,
    external_id text NOT NULL,
    email text,
    keeps_email boolean NOT NULL,
    revoked boolean,
    student text,
    valid_from timestamptz,
    valid_until timestamptz,
    consent_until timestamptz,
    school_hours_only boolean NOT NULL
) ON COMMIT DROP;

-- name: bad_guardians
-- The same, once all is staged; the keys of external_id, viewer_email_is_unique. $1: at most so many. An address that
-- changes hands is let go of by one body and taken by the next.
WITH first_line AS (
    SELECT DISTINCT ON (external_id)
        external_id,
        email,
        keeps_email,
        revoked
    FROM staged
    ORDER BY
        external_id,
        line
)

SELECT
    line,
    reason,
    count(*) OVER () AS bad
FROM (
    SELECT
        staged.line,
        CASE
            WHEN
                row_number() OVER (
                    PARTITION BY staged.external_id, staged.student
                    ORDER BY staged.line
                ) > 1
                THEN 'duplicate'
            WHEN first_line.external_id IS NULL THEN 'contradiction'
            WHEN
                staged.student IS NOT NULL
                AND (student.student_id IS NULL OR student.erased_at IS NOT NULL)
                THEN 'unknown_student'
            WHEN staged.revoked IS NOT NULL AND viewer.role <> 'guardian' THEN 'is_staff'
            WHEN owner.viewer_id IS NOT NULL THEN 'email_in_use'
            WHEN
                staged.email IS NOT NULL
                AND first_value(staged.external_id) OVER (
                    PARTITION BY staged.email
                    ORDER BY staged.line
                ) <> staged.external_id
                THEN 'email_in_use'
        END AS reason
    FROM staged
    LEFT JOIN first_line
        ON
            staged.external_id = first_line.external_id
            AND staged.email IS NOT DISTINCT FROM first_line.email
            AND staged.keeps_email = first_line.keeps_email
            AND staged.revoked IS NOT DISTINCT FROM first_line.revoked
    LEFT JOIN students AS student ON staged.student = student.external_id
    LEFT JOIN viewers AS viewer ON staged.external_id = viewer.external_id
    LEFT JOIN viewers AS owner
        ON
            staged.email = owner.email
            AND (owner.external_id IS NULL OR staged.external_id <> owner.external_id)
) AS judged
WHERE reason IS NOT NULL
ORDER BY line
LIMIT $1;

-- name: put_guardians
-- The same, when no line is bad; viewer_external_id_is_unique, viewers_pkey, guardianships_pkey.
WITH person AS MATERIALIZED (
    SELECT DISTINCT ON (staged.external_id)
        staged.external_id,
        staged.email,
        staged.keeps_email,
        staged.revoked,
        viewer.viewer_id
    FROM staged
    LEFT JOIN viewers AS viewer ON staged.external_id = viewer.external_id
    ORDER BY
        staged.external_id,
        staged.line
),

added AS (
    INSERT INTO viewers (
        role,
        external_id,
        email,
        revoked_at
    )
    SELECT
        'guardian',
        external_id,
        email,
        CASE WHEN revoked THEN now() END
    FROM person
    WHERE viewer_id IS NULL
    RETURNING
        viewer_id,
        external_id
),

changed AS (
    UPDATE viewers AS viewer
    SET
        email = CASE WHEN person.keeps_email THEN viewer.email ELSE person.email END,
        revoked_at = CASE
            WHEN person.revoked THEN coalesce(viewer.revoked_at, now())
            WHEN NOT person.revoked THEN NULL
            ELSE viewer.revoked_at
        END,
        token_digest = CASE
            WHEN viewer.revoked_at IS NOT NULL OR person.revoked THEN NULL
            ELSE viewer.token_digest
        END,
        password_hash = CASE
            WHEN viewer.revoked_at IS NOT NULL OR person.revoked THEN NULL
            WHEN NOT person.keeps_email AND person.email IS NULL THEN NULL
            ELSE viewer.password_hash
        END
    FROM person
    WHERE
        viewer.viewer_id = person.viewer_id
        AND (
            (NOT person.keeps_email AND viewer.email IS DISTINCT FROM person.email)
            OR person.revoked <> (viewer.revoked_at IS NOT NULL)
        )
    RETURNING viewer.viewer_id
),

known AS (
    SELECT
        viewer_id,
        external_id
    FROM person
    WHERE viewer_id IS NOT NULL
    UNION ALL
    SELECT
        viewer_id,
        external_id
    FROM added
),

seen AS MATERIALIZED (
    SELECT
        known.viewer_id,
        student.student_id,
        staged.school_hours_only,
        coalesce(staged.valid_from, '-infinity') AS valid_from,
        coalesce(staged.valid_until, 'infinity') AS valid_until,
        coalesce(staged.consent_until, 'infinity') AS consent_until
    FROM staged
    INNER JOIN known ON staged.external_id = known.external_id
    INNER JOIN students AS student ON staged.student = student.external_id
),

ended AS (
    DELETE FROM guardianships AS guardianship
    USING person
    WHERE
        guardianship.viewer_id = person.viewer_id
        AND NOT EXISTS (
            SELECT
            FROM seen
            WHERE
                seen.viewer_id = guardianship.viewer_id
                AND seen.student_id = guardianship.student_id
        )
    RETURNING guardianship.viewer_id
),

begun AS (
    INSERT INTO guardianships AS guardianship (
        viewer_id,
        student_id,
        valid_from,
        valid_until,
        consent_until,
        school_hours_only
    )
    SELECT
        seen.viewer_id,
        seen.student_id,
        seen.valid_from,
        seen.valid_until,
        seen.consent_until,
        seen.school_hours_only
    FROM seen
    LEFT JOIN guardianships AS held
        ON
            seen.viewer_id = held.viewer_id
            AND seen.student_id = held.student_id
    WHERE
        (seen.valid_from, seen.valid_until, seen.consent_until, seen.school_hours_only)
        IS DISTINCT FROM (
            held.valid_from, held.valid_until, held.consent_until, held.school_hours_only
        )
    ON CONFLICT (viewer_id, student_id) DO UPDATE
        SET
            valid_from = excluded.valid_from,
            valid_until = excluded.valid_until,
            consent_until = excluded.consent_until,
            school_hours_only = excluded.school_hours_only
    RETURNING viewer_id
)

SELECT
    0 AS missing,
    (SELECT count(*) FROM person) AS named,
    (SELECT count(*) FROM added) AS added,
    (
        SELECT count(*)
        FROM (
            SELECT viewer_id FROM changed
            UNION
            SELECT viewer_id FROM ended
            UNION
            SELECT viewer_id FROM begun
            EXCEPT
            SELECT viewer_id FROM added
        ) AS any_change
    ) AS changed;

-- name: stage_staff
-- directory_import.put and directory_load.put, on the primary.
CREATE TEMPORARY TABLE staged (
    line integer NOT NULL,
    external_id text NOT NULL,
    email text,
    keeps_email boolean NOT NULL,
    revoked boolean,
    role text NOT NULL,
    sees_all boolean NOT NULL,
    school text,
    class text
) ON COMMIT DROP;

-- name: bad_staff
-- The same, once all is staged; the keys of external_id, viewer_email_is_unique. $1: at most so many.
WITH first_line AS (
    SELECT DISTINCT ON (external_id)
        external_id,
        email,
        keeps_email,
        revoked,
        role,
        sees_all
    FROM staged
    ORDER BY
        external_id,
        line
)

SELECT
    line,
    reason,
    count(*) OVER () AS bad
FROM (
    SELECT
        staged.line,
        CASE
            WHEN
                row_number() OVER (
                    PARTITION BY staged.external_id, staged.school, staged.class
                    ORDER BY staged.line
                ) > 1
                THEN 'duplicate'
            WHEN first_line.external_id IS NULL THEN 'contradiction'
            WHEN
                staged.school IS NOT NULL AND school.school_id IS NULL
                THEN 'unknown_school'
            WHEN staged.class IS NOT NULL AND class.class_id IS NULL THEN 'unknown_class'
            WHEN class.school_id <> school.school_id THEN 'class_of_other_school'
            WHEN owner.viewer_id IS NOT NULL THEN 'email_in_use'
            WHEN
                staged.email IS NOT NULL
                AND first_value(staged.external_id) OVER (
                    PARTITION BY staged.email
                    ORDER BY staged.line
                ) <> staged.external_id
                THEN 'email_in_use'
        END AS reason
    FROM staged
    LEFT JOIN first_line
        ON
            staged.external_id = first_line.external_id
            AND staged.email IS NOT DISTINCT FROM first_line.email
            AND staged.keeps_email = first_line.keeps_email
            AND staged.revoked IS NOT DISTINCT FROM first_line.revoked
            AND staged.role = first_line.role
            AND staged.sees_all = first_line.sees_all
    LEFT JOIN schools AS school ON staged.school = school.external_id
    LEFT JOIN classes AS class ON staged.class = class.external_id
    LEFT JOIN viewers AS owner
        ON
            staged.email = owner.email
            AND (owner.external_id IS NULL OR staged.external_id <> owner.external_id)
) AS judged
WHERE reason IS NOT NULL
ORDER BY line
LIMIT $1;

-- name: put_staff
-- The same, when no line is bad; viewer_external_id_is_unique, viewers_pkey, staff_scope_is_unique.
WITH person AS MATERIALIZED (
    SELECT DISTINCT ON (staged.external_id)
        staged.external_id,
        staged.email,
        staged.keeps_email,
        staged.revoked,
        staged.role,
        staged.sees_all,
        viewer.viewer_id
    FROM staged
    LEFT JOIN viewers AS viewer ON staged.external_id = viewer.external_id
    ORDER BY
        staged.external_id,
        staged.line
),

added AS (
    INSERT INTO viewers (
        role,
        external_id,
        email,
        sees_all,
        revoked_at
    )
    SELECT
        role,
        external_id,
        email,
        sees_all,
        CASE WHEN revoked THEN now() END
    FROM person
    WHERE viewer_id IS NULL
    RETURNING
        viewer_id,
        external_id
),

changed AS (
    UPDATE viewers AS viewer
    SET
        role = person.role,
        sees_all = person.sees_all,
        email = CASE WHEN person.keeps_email THEN viewer.email ELSE person.email END,
        revoked_at = CASE
            WHEN person.revoked THEN coalesce(viewer.revoked_at, now())
            WHEN NOT person.revoked THEN NULL
            ELSE viewer.revoked_at
        END,
        token_digest = CASE
            WHEN viewer.revoked_at IS NOT NULL OR person.revoked THEN NULL
            ELSE viewer.token_digest
        END,
        password_hash = CASE
            WHEN viewer.revoked_at IS NOT NULL OR person.revoked THEN NULL
            WHEN NOT person.keeps_email AND person.email IS NULL THEN NULL
            ELSE viewer.password_hash
        END
    FROM person
    WHERE
        viewer.viewer_id = person.viewer_id
        AND (
            (viewer.role, viewer.sees_all) <> (person.role, person.sees_all)
            OR (NOT person.keeps_email AND viewer.email IS DISTINCT FROM person.email)
            OR person.revoked <> (viewer.revoked_at IS NOT NULL)
        )
    RETURNING viewer.viewer_id
),

known AS (
    SELECT
        viewer_id,
        external_id
    FROM person
    WHERE viewer_id IS NOT NULL
    UNION ALL
    SELECT
        viewer_id,
        external_id
    FROM added
),

scope AS MATERIALIZED (
    SELECT DISTINCT
        known.viewer_id,
        class.class_id,
        coalesce(class.school_id, school.school_id) AS school_id
    FROM staged
    INNER JOIN known ON staged.external_id = known.external_id
    LEFT JOIN schools AS school ON staged.school = school.external_id
    LEFT JOIN classes AS class ON staged.class = class.external_id
    WHERE
        school.school_id IS NOT NULL
        OR class.school_id IS NOT NULL
),

ended AS (
    DELETE FROM staff_scopes AS held
    USING person
    WHERE
        held.viewer_id = person.viewer_id
        AND NOT EXISTS (
            SELECT
            FROM scope
            WHERE
                scope.viewer_id = held.viewer_id
                AND scope.school_id = held.school_id
                AND scope.class_id IS NOT DISTINCT FROM held.class_id
        )
    RETURNING held.viewer_id
),

begun AS (
    INSERT INTO staff_scopes (
        viewer_id,
        school_id,
        class_id
    )
    SELECT
        viewer_id,
        school_id,
        class_id
    FROM scope
    WHERE
        NOT EXISTS (
            SELECT
            FROM staff_scopes AS held
            WHERE
                scope.viewer_id = held.viewer_id
                AND scope.school_id = held.school_id
                AND scope.class_id IS NOT DISTINCT FROM held.class_id
        )
    RETURNING viewer_id
)

SELECT
    0 AS missing,
    (SELECT count(*) FROM person) AS named,
    (SELECT count(*) FROM added) AS added,
    (
        SELECT count(*)
        FROM (
            SELECT viewer_id FROM changed
            UNION
            SELECT viewer_id FROM ended
            UNION
            SELECT viewer_id FROM begun
            EXCEPT
            SELECT viewer_id FROM added
        ) AS any_change
    ) AS changed;

-- name: end_what_revoked_had
-- directory_import.put, directory_load.put and provision.revoke_viewer, on the primary, behind a revocation in its
-- transaction: neither sessions nor shares come back with whoever is let in again. Both tables, whole.
WITH ended AS (
    DELETE FROM sessions AS session
    USING viewers AS viewer
    WHERE
        session.viewer_id = viewer.viewer_id
        AND viewer.revoked_at IS NOT NULL
)

UPDATE shares AS share
SET revoked_at = now()
FROM viewers AS viewer
WHERE
    share.viewer_id = viewer.viewer_id
    AND viewer.revoked_at IS NOT NULL
    AND share.revoked_at IS NULL;
