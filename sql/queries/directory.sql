-- name: hold_directory
-- directory_import.put and directory_load.put, on the primary, first in their transaction: one of them at a time.
SELECT pg_try_advisory_xact_lock(4270003) AS is_alone;

-- name: let_directory_take
-- directory_import.put, on the primary, in its transaction: as long as a body may take to come and to be put in force.
SELECT
    set_config('statement_timeout', $1, TRUE),
    set_config('idle_in_transaction_session_timeout', $1, TRUE);

-- name: is_admin
-- administrators.Administrators.require and directory_import.put, on the primary; viewers_pkey.
SELECT exists(
    SELECT
    FROM viewers
    WHERE
        viewer_id = $1
        AND role = 'admin'
        AND revoked_at IS NULL
) AS is_admin;

-- name: weigh_staged
-- The same, once all is staged: the planner knows nothing of a table that is new.
ANALYZE staged;

-- name: stage_schools
-- directory_import.put and directory_load.put, on the primary.
CREATE TEMPORARY TABLE staged (
    line integer NOT NULL,
    external_id text NOT NULL,
    time_zone text NOT NULL,
    opens_at time,
    closes_at time,
    weekdays smallint[] NOT NULL,
    holidays date[] NOT NULL
) ON COMMIT DROP;

-- name: bad_schools
-- The same, once all is staged; reads every file of the server's time zones, once. $1: at most so many.
SELECT
    line,
    reason,
    count(*) OVER () AS bad
FROM (
    SELECT
        staged.line,
        CASE
            WHEN
                row_number() OVER (PARTITION BY staged.external_id ORDER BY staged.line) > 1
                THEN 'duplicate'
            WHEN zone.name IS NULL THEN 'unknown_time_zone'
        END AS reason
    FROM staged
    LEFT JOIN (
        SELECT DISTINCT lower(name) AS name FROM pg_timezone_names
    ) AS zone ON lower(staged.time_zone) = zone.name
) AS judged
WHERE reason IS NOT NULL
ORDER BY line
LIMIT $1;

-- name: put_schools
-- The same, when no line is bad; school_external_id_is_unique, school_holidays_pkey.
WITH given AS MATERIALIZED (
    SELECT
        staged.*,
        zone.name AS zone_name,
        school.school_id
    FROM staged
    INNER JOIN (
        SELECT
            lower(name) AS lower_name,
            min(name) AS name
        FROM pg_timezone_names
        GROUP BY lower(name)
    ) AS zone ON lower(staged.time_zone) = zone.lower_name
    LEFT JOIN schools AS school ON staged.external_id = school.external_id
),

added AS (
    INSERT INTO schools (
        external_id,
        time_zone,
        opens_at,
        closes_at,
        weekdays
    )
    SELECT
        external_id,
        zone_name,
        opens_at,
        closes_at,
        weekdays
    FROM given
    WHERE school_id IS NULL
    RETURNING
        school_id,
        external_id
),

changed AS (
    UPDATE schools AS school
    SET
        time_zone = given.zone_name,
        opens_at = given.opens_at,
        closes_at = given.closes_at,
        weekdays = given.weekdays
    FROM given
    WHERE
        school.school_id = given.school_id
        AND (school.time_zone, school.opens_at, school.closes_at, school.weekdays)
        IS DISTINCT FROM (given.zone_name, given.opens_at, given.closes_at, given.weekdays)
    RETURNING school.school_id
),

opened AS (
    DELETE FROM school_holidays AS holiday
    USING given
    WHERE
        holiday.school_id = given.school_id
        AND holiday.day <> all(given.holidays)
    RETURNING holiday.school_id
),

closed AS (
    INSERT INTO school_holidays (
        school_id,
        day
    )
    SELECT
        coalesce(given.school_id, added.school_id),
        named.day
    FROM given
    CROSS JOIN LATERAL unnest(given.holidays) AS named (day)
    LEFT JOIN added ON given.external_id = added.external_id
    WHERE
        NOT EXISTS (
            SELECT
            FROM school_holidays AS holiday
            WHERE
                holiday.school_id = given.school_id
                AND holiday.day = named.day
        )
    RETURNING school_id
)

SELECT
    0 AS missing,
    (SELECT count(*) FROM given) AS named,
    (SELECT count(*) FROM added) AS added,
    (
        SELECT count(*)
        FROM (
            SELECT school_id FROM changed
            UNION
            SELECT school_id FROM opened
            UNION
            SELECT school_id FROM closed
            EXCEPT
            SELECT school_id FROM added
        ) AS any_change
    ) AS changed;

-- name: stage_classes
-- directory_import.put and directory_load.put, on the primary.
CREATE TEMPORARY TABLE staged (
    line integer NOT NULL,
    external_id text NOT NULL,
    school text NOT NULL
) ON COMMIT DROP;

-- name: bad_classes
-- The same, once all is staged; school_external_id_is_unique. $1: at most so many.
SELECT
    line,
    reason,
    count(*) OVER () AS bad
FROM (
    SELECT
        staged.line,
        CASE
            WHEN
                row_number() OVER (PARTITION BY staged.external_id ORDER BY staged.line) > 1
                THEN 'duplicate'
            WHEN school.school_id IS NULL THEN 'unknown_school'
        END AS reason
    FROM staged
    LEFT JOIN schools AS school ON staged.school = school.external_id
) AS judged
WHERE reason IS NOT NULL
ORDER BY line
LIMIT $1;

-- name: put_classes
-- The same, when no line is bad; class_external_id_is_unique. Students and scopes go with a class that moves, in one
-- statement: the keys that hold them to each other's school are asked at its end.
WITH given AS MATERIALIZED (
    SELECT
        staged.external_id,
        school.school_id,
        class.class_id
    FROM staged
    INNER JOIN schools AS school ON staged.school = school.external_id
    LEFT JOIN classes AS class ON staged.external_id = class.external_id
),

added AS (
    INSERT INTO classes (
        school_id,
        external_id
    )
    SELECT
        school_id,
        external_id
    FROM given
    WHERE class_id IS NULL
    RETURNING class_id
),

moved AS (
    UPDATE classes AS class
    SET school_id = given.school_id
    FROM given
    WHERE
        class.class_id = given.class_id
        AND class.school_id <> given.school_id
    RETURNING
        class.class_id,
        class.school_id
),

moved_students AS (
    UPDATE students AS student
    SET school_id = moved.school_id
    FROM moved
    WHERE student.class_id = moved.class_id
),

moved_scopes AS (
    UPDATE staff_scopes AS scope
    SET school_id = moved.school_id
    FROM moved
    WHERE scope.class_id = moved.class_id
)

SELECT
    0 AS missing,
    (SELECT count(*) FROM given) AS named,
    (SELECT count(*) FROM added) AS added,
    (SELECT count(*) FROM moved) AS changed;

-- name: stage_students
-- directory_import.put and directory_load.put, on the primary.
CREATE TEMPORARY TABLE staged (
    line integer NOT NULL,
    external_id text NOT NULL,
    school text,
    class text
) ON COMMIT DROP;

-- name: bad_students
-- The same, once all is staged; the keys of external_id. $1: at most so many.
SELECT
    line,
    reason,
    count(*) OVER () AS bad
FROM (
    SELECT
        staged.line,
        CASE
            WHEN
                row_number() OVER (PARTITION BY staged.external_id ORDER BY staged.line) > 1
                THEN 'duplicate'
            WHEN
                staged.school IS NOT NULL AND school.school_id IS NULL
                THEN 'unknown_school'
            WHEN staged.class IS NOT NULL AND class.class_id IS NULL THEN 'unknown_class'
            WHEN class.school_id <> school.school_id THEN 'class_of_other_school'
            WHEN student.erased_at IS NOT NULL THEN 'being_erased'
        END AS reason
    FROM staged
    LEFT JOIN schools AS school ON staged.school = school.external_id
    LEFT JOIN classes AS class ON staged.class = class.external_id
    LEFT JOIN students AS student ON staged.external_id = student.external_id
) AS judged
WHERE reason IS NOT NULL
ORDER BY line
LIMIT $1;

-- name: put_students
-- The same, when no line is bad, again and again until none is missing: the platform may have chosen some of the next
-- numbers itself. student_external_id_is_unique, students_pkey.
WITH given AS MATERIALIZED (
    SELECT
        staged.external_id,
        class.class_id,
        student.student_id,
        coalesce(class.school_id, school.school_id) AS school_id
    FROM staged
    LEFT JOIN schools AS school ON staged.school = school.external_id
    LEFT JOIN classes AS class ON staged.class = class.external_id
    LEFT JOIN students AS student ON staged.external_id = student.external_id
),

added AS (
    INSERT INTO students (
        external_id,
        school_id,
        class_id
    )
    SELECT
        external_id,
        school_id,
        class_id
    FROM given
    WHERE student_id IS NULL
    ON CONFLICT (student_id) DO NOTHING
    RETURNING student_id
),

changed AS (
    UPDATE students AS student
    SET
        school_id = given.school_id,
        class_id = given.class_id
    FROM given
    WHERE
        student.student_id = given.student_id
        AND student.erased_at IS NULL
        AND (student.school_id, student.class_id)
        IS DISTINCT FROM (given.school_id, given.class_id)
    RETURNING student.student_id
)

SELECT
    (SELECT count(*) FROM given) AS named,
    (SELECT count(*) FROM added) AS added,
    (SELECT count(*) FROM changed) AS changed,
    (
        SELECT count(*)
        FROM given
        WHERE student_id IS NULL
    ) - (SELECT count(*) FROM added) AS missing;
