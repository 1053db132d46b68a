-- name: begin_login
-- logins.Logins, on the primary; viewer_email_is_unique, login_failures_pkey. Whose e-mail $1 is, and for how many
-- seconds that try has to wait, 0: not at all. $2, $3 and $4 are the keys of account, address and both together; the
-- numbers are their failures without a wait and their longest wait. Always a row; written is only where an account is
-- held up: of those that come when its wait is over one moves the clock and has the turn, and an address from which
-- the account has not failed for a day has one try of its own.
WITH waits AS (
    SELECT
        coalesce(
            bool_or(failures_remembered(failures, failed_at) >= $5) FILTER (
                WHERE throttle_key = $2
            ),
            FALSE
        ) AS is_held_up,
        coalesce(
            max(seconds_to_wait(failures, failed_at, $5, $6)) FILTER (WHERE throttle_key = $2), 0
        ) AS account,
        coalesce(
            max(seconds_to_wait(failures, failed_at, $7, $8)) FILTER (WHERE throttle_key = $3), 0
        ) AS address
    FROM login_failures
    WHERE throttle_key IN ($2, $3)
),

turn AS (
    UPDATE login_failures
    SET
        failures = failures_remembered(failures, failed_at),
        failed_at = now()
    WHERE
        throttle_key = $2
        AND failures_remembered(failures, failed_at) >= $5
        AND seconds_to_wait(failures, failed_at, $5, $6) = 0
        AND (SELECT waits.address FROM waits) = 0
    RETURNING throttle_key
),

first_try AS (
    INSERT INTO login_failures AS kept (
        throttle_key,
        failures
    )
    SELECT
        $4,
        1
    FROM waits
    WHERE
        waits.account > 0
        AND waits.address = 0
        AND NOT EXISTS (
            SELECT
            FROM login_failures AS failure
            WHERE
                failure.throttle_key = $4
                AND failure.failed_at > now() - interval '1 day'
        )
    ON CONFLICT (throttle_key) DO UPDATE
        SET
            failures = 1,
            failed_at = now()
        WHERE kept.failed_at <= now() - interval '1 day'
    RETURNING throttle_key
)

SELECT
    viewer.viewer_id,
    viewer.role,
    viewer.password_hash,
    CASE
        WHEN waits.address > 0 THEN waits.address
        WHEN NOT waits.is_held_up THEN 0
        WHEN EXISTS (SELECT FROM turn) OR EXISTS (SELECT FROM first_try) THEN 0
        ELSE greatest(1, waits.account)
    END AS wait_seconds
FROM waits
LEFT JOIN viewers AS viewer ON viewer.email = $1 AND viewer.revoked_at IS NULL;

-- name: complete_login
-- logins.Logins, on the primary; viewers_pkey, login_failures_pkey. A session of the viewer, whose password is still
-- that which was checked; no row: it is not. $3 is the same password under a newer hash, or NULL; $7 and $8 are the
-- keys of what is forgiven. No array: the driver would look up its type, which takes three more round trips.
WITH viewer AS (
    SELECT viewer_id
    FROM viewers
    WHERE
        viewer_id = $1
        AND password_hash = $2
        AND revoked_at IS NULL
    FOR NO KEY UPDATE
),

rehashed AS (
    UPDATE viewers
    SET password_hash = $3
    WHERE
        viewer_id IN (SELECT viewer.viewer_id FROM viewer)
        AND $3::text IS NOT NULL
),

forgiven AS (
    DELETE FROM login_failures
    WHERE
        throttle_key IN (
            SELECT failure.throttle_key
            FROM login_failures AS failure
            WHERE failure.throttle_key IN ($7, $8)
            ORDER BY failure.throttle_key
            FOR UPDATE
        )
        AND EXISTS (SELECT FROM viewer)
)

INSERT INTO sessions (
    viewer_id,
    token_digest,
    idle_seconds,
    ends_at
)
SELECT
    viewer.viewer_id,
    $4,
    $5,
    now() + $6::interval
FROM viewer
RETURNING ends_at;

-- name: count_login_failure
-- logins.Logins, on the primary; login_failures_pkey. One more for each key, in one order for all, so that no two
-- wait for each other. Beyond sixty they would only take the longer to be forgotten.
INSERT INTO login_failures AS kept (
    throttle_key,
    failures
)
SELECT
    throttle_key,
    1
FROM (VALUES ($1::bytea), ($2), ($3)) AS failed (throttle_key)
ORDER BY throttle_key
ON CONFLICT (throttle_key) DO UPDATE
    SET
        failures = least(failures_remembered(kept.failures, kept.failed_at) + 1, 60),
        failed_at = now();

-- name: email_of_session
-- logins.Logins, on the primary; sessions_pkey.
SELECT viewer.email
FROM sessions AS session
INNER JOIN viewers AS viewer ON session.viewer_id = viewer.viewer_id
WHERE session.session_id = $1;

-- name: change_password
-- logins.Logins, on the primary; viewers_pkey. No row: the password is no more that which was checked.
UPDATE viewers
SET password_hash = $3
WHERE
    viewer_id = $1
    AND password_hash = $2
    AND revoked_at IS NULL
RETURNING viewer_id;

-- name: set_password
-- accounts.set_password, on the primary; viewers_pkey. $2 NULL: the e-mail stays.
UPDATE viewers
SET
    email = coalesce($2, email),
    password_hash = $3
WHERE
    viewer_id = $1
    AND revoked_at IS NULL
RETURNING email;

-- name: forgive
-- accounts.set_password, on the primary; login_failures_pkey.
DELETE FROM login_failures
WHERE throttle_key = $1;

-- name: end_session
-- sessions.Sessions, on the primary; sessions_pkey.
DELETE FROM sessions
WHERE session_id = $1;

-- name: end_sessions
-- sessions.Sessions and accounts.set_password, on the primary; idx_sessions_viewer. All of a viewer but $2, which is
-- 0 for none.
DELETE FROM sessions
WHERE
    viewer_id = $1
    AND session_id <> $2;

-- name: end_all_sessions
-- sessions.end_all, on the primary; whole table.
DELETE FROM sessions;

-- name: sessions_of
-- sessions.Sessions, on the primary; idx_sessions_viewer. The newest first; $2 is that which asks.
SELECT
    session_id,
    created_at,
    used_at,
    ends_at,
    session_id = $2 AS is_this
FROM sessions
WHERE
    viewer_id = $1
    AND ends_at > now()
    AND used_at + idle_seconds * interval '1 second' > now()
ORDER BY session_id DESC
LIMIT $3;

-- name: viewer
-- sessions.end_of_viewer, on the primary; viewers_pkey.
SELECT viewer_id
FROM viewers
WHERE viewer_id = $1;

-- name: delete_ended_sessions
-- endings.run_once, on the primary, in pieces; whole table, once an hour. What is in use just now is left for later.
DELETE FROM sessions
WHERE session_id IN (
    SELECT session_id
    FROM sessions
    WHERE
        ends_at <= now()
        OR used_at + idle_seconds * interval '1 second' <= now()
    ORDER BY session_id
    LIMIT $1
    FOR UPDATE SKIP LOCKED
);

-- name: delete_old_login_failures
-- endings.run_once, on the primary, in pieces; idx_login_failures_failed. After a day begin_login asks for none.
DELETE FROM login_failures
WHERE throttle_key IN (
    SELECT throttle_key
    FROM login_failures
    WHERE failed_at <= now() - interval '1 day'
    ORDER BY failed_at
    LIMIT $1
    FOR UPDATE SKIP LOCKED
);
