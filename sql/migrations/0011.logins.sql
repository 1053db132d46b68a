-- How long whoever logs in has to wait after failures: one rule, asked by every process.

CREATE FUNCTION failures_remembered(failures integer, failed_at timestamptz) RETURNS integer
LANGUAGE sql STABLE AS $$
SELECT greatest(0, failures - floor(extract(EPOCH FROM now() - failed_at) / 60)::integer)
$$;

COMMENT ON FUNCTION failures_remembered(integer, timestamptz) IS
'Of so many failures, the last of them then, those that count: each minute one is forgotten.';

CREATE FUNCTION seconds_to_wait(
    failures integer, failed_at timestamptz, free integer, most_seconds integer
) RETURNS double precision
LANGUAGE sql STABLE AS $$
SELECT
    CASE
        WHEN failures_remembered(failures, failed_at) < free THEN 0
        ELSE greatest(
            0,
            least(2.0 ^ (failures_remembered(failures, failed_at) - free), most_seconds)
            - extract(EPOCH FROM now() - failed_at)
        )
    END
$$;

COMMENT ON FUNCTION seconds_to_wait(integer, timestamptz, integer, integer) IS
'From now until the next try: nothing for the first so many failures, then a second after the last,'
' two, four, and never more than the most.';
