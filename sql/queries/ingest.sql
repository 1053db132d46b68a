-- name: insert_pings
-- transaction.commit, on the primary, for batches that may hold rows already stored; idx_geolocation_student_timestamp decides.
INSERT INTO geolocation_data (
    student_id,
    "timestamp",
    device_id,
    latitude,
    longitude,
    accuracy,
    altitude,
    speed,
    course,
    battery,
    flags,
    received_at
)
SELECT
    student_id,
    "timestamp",
    device_id,
    latitude,
    longitude,
    accuracy,
    altitude,
    speed,
    course,
    battery,
    flags,
    received_at
FROM
    unnest(
        $1::bigint[],
        $2::timestamptz[],
        $3::integer[],
        $4::double precision[],
        $5::double precision[],
        $6::real[],
        $7::real[],
        $8::real[],
        $9::real[],
        $10::smallint[],
        $11::smallint[],
        $12::timestamptz[]
    )
        AS ping (
            student_id,
            "timestamp",
            device_id,
            latitude,
            longitude,
            accuracy,
            altitude,
            speed,
            course,
            battery,
            flags,
            received_at
        )
ON CONFLICT (student_id, "timestamp", device_id) DO NOTHING
RETURNING
    student_id,
    "timestamp",
    device_id;

-- name: confirm_duplicates
-- transaction.commit, on the primary, after a batch of nothing but duplicates; no table. It writes a few bytes of WAL,
-- so that its commit waits for a synchronous standby to have all before it; without such a standby, for the disk.
SELECT pg_logical_emit_message(TRUE, 'geoingest', '');

-- name: quarantine_pings
-- transaction.commit, on the primary, in the transaction of the batch that the rejected pings came with.
INSERT INTO rejected_pings (
    received_at,
    device_id,
    reason,
    raw
)
SELECT
    received_at,
    device_id,
    reason,
    raw
FROM unnest(
    $1::timestamptz[],
    $2::integer[],
    $3::text[],
    $4::bytea[]
) AS rejected (
    received_at,
    device_id,
    reason,
    raw
);
