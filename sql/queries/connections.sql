-- name: array_types
-- connections.connect, on any server behind a pooler; prepared, never run. Every type of array that a query takes.
SELECT
    $1::bigint[],
    $2::bytea[],
    $3::double precision[],
    $4::integer[],
    $5::real[],
    $6::smallint[],
    $7::text[],
    $8::timestamptz[];
