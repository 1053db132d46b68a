-- name: lock_shares
-- shares.Shares.add, on the primary, first in its transaction; no table. One viewer's shares are counted by one at a
-- time.
SELECT pg_advisory_xact_lock($1, $2);

-- name: sees_in_full
-- shares.Shares, on the primary; by the keys of seen_by. Not so who sees school hours only.
SELECT exists(
    SELECT
    FROM seen_by($1, $2, $3, ARRAY[$4::bigint])
    WHERE since = '-infinity'
) AS sees;

-- name: add_share
-- shares.Shares.add, on the primary; by the keys of seen_by, idx_shares_viewer. No row: the viewer does not see the
-- student in full, or has too many shares; those that were ended early count for an hour.
INSERT INTO shares (
    student_id,
    viewer_id,
    token_digest,
    ends_at
)
SELECT
    rule.student_id,
    $1::integer,
    $4::bytea,
    least(coalesce($5::timestamptz, now() + $6::interval), now() + interval '30 days')
FROM seen_by($1, $2, 0, ARRAY[$3::bigint]) AS rule
WHERE
    rule.since = '-infinity'
    AND $7 > (
        SELECT count(*)
        FROM shares AS own
        WHERE
            own.viewer_id = $1
            AND own.student_id = $3
            AND (
                (own.ends_at > now() AND own.revoked_at IS NULL)
                OR own.created_at > now() - interval '1 hour'
            )
    )
RETURNING
    share_id,
    ends_at;

-- name: shares_of
-- shares.Shares.of_student, on the primary; idx_shares_student.
SELECT
    share_id,
    viewer_id,
    created_at,
    ends_at
FROM shares
WHERE
    student_id = $1
    AND ends_at > now()
    AND revoked_at IS NULL
ORDER BY share_id;

-- name: end_share
-- shares.Shares.end, on the primary; shares_pkey, and by the keys of seen_by. No row: there is no such share for this
-- viewer, who has neither made it, nor sees its student in full, nor is an admin. To end one twice is no mistake.
UPDATE shares AS share
SET revoked_at = coalesce(share.revoked_at, now())
WHERE
    share.share_id = $3
    AND (
        share.viewer_id = $1
        OR EXISTS (
            SELECT
            FROM viewers AS viewer
            WHERE
                viewer.viewer_id = $1
                AND viewer.role = 'admin'
        )
        OR EXISTS (
            SELECT
            FROM seen_by($1, $2, 0, ARRAY[share.student_id]) AS rule
            WHERE rule.since = '-infinity'
        )
    )
RETURNING share.share_id;

-- name: revoke_share
-- shares.revoke, on the primary; shares_pkey. By hand, whoever made it.
UPDATE shares
SET revoked_at = coalesce(revoked_at, now())
WHERE share_id = $1
RETURNING share_id;

-- name: expire_shares
-- shares.run_once of the jobs, on the primary; idx_shares_ends. They are remembered for as long as who looked by them.
DELETE FROM shares
WHERE ends_at < $1;
