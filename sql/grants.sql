-- What each role of roles.sql may do, run by `geoingest migrate` as the owner, each time and in one transaction. What
-- was granted before is taken back first: this file is the truth. Nothing is ever granted on a month, where no
-- row-level security would stand in the way; what is asked of geolocation_data or geolocation_seen needs no more.
DO $$
DECLARE
    ours text;
BEGIN
    FOR ours IN
        SELECT 'TABLE ' || class.oid::regclass
        FROM pg_class AS class
        WHERE
            class.relnamespace = 'public'::regnamespace
            AND class.relowner = current_user::regrole
            AND class.relkind IN ('r', 'p', 'v', 'm')
            AND (
                class.relacl IS NOT NULL
                OR EXISTS (
                    SELECT
                    FROM pg_attribute AS attribute
                    WHERE
                        attribute.attrelid = class.oid
                        AND attribute.attacl IS NOT NULL
                )
            )
        UNION ALL
        SELECT 'FUNCTION ' || function.oid::regprocedure
        FROM pg_proc AS function
        WHERE
            function.pronamespace = 'public'::regnamespace
            AND function.proowner = current_user::regrole
    LOOP
        EXECUTE format('REVOKE ALL ON %s FROM PUBLIC, geoingest_ingest, geoingest_read', ours);
    END LOOP;
    IF pg_has_role((SELECT datdba FROM pg_database WHERE datname = current_database()), 'USAGE') THEN
        -- For what is checked as a whole before it is written.
        EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO geoingest_ingest', current_database());
    END IF;
    IF pg_has_role((SELECT nspowner FROM pg_namespace WHERE nspname = 'public'), 'USAGE') THEN
        REVOKE CREATE ON SCHEMA public FROM PUBLIC, geoingest_ingest, geoingest_read;
        GRANT USAGE ON SCHEMA public TO geoingest_ingest, geoingest_read;
    END IF;
END
$$;

-- Also not on what is made later, such as next month.
ALTER DEFAULT PRIVILEGES REVOKE ALL ON TABLES FROM public, geoingest_ingest, geoingest_read;
ALTER DEFAULT PRIVILEGES IN SCHEMA public
REVOKE ALL ON TABLES FROM public, geoingest_ingest, geoingest_read;
ALTER DEFAULT PRIVILEGES REVOKE ALL ON FUNCTIONS FROM public, geoingest_ingest, geoingest_read;
ALTER DEFAULT PRIVILEGES IN SCHEMA public
REVOKE ALL ON FUNCTIONS FROM public, geoingest_ingest, geoingest_read;

-- Pings: the key alone is read, for ON CONFLICT; the other two are the trigger's.
GRANT INSERT, SELECT (student_id, "timestamp", device_id) ON geolocation_data TO geoingest_ingest;
GRANT INSERT ON rejected_pings TO geoingest_ingest;
GRANT SELECT ON rollup_state TO geoingest_ingest;
GRANT INSERT ON rollup_dirty TO geoingest_ingest;

-- Who is at the door.
GRANT SELECT ON devices TO geoingest_ingest;
GRANT SELECT, INSERT, UPDATE ON students TO geoingest_ingest;
GRANT SELECT, INSERT, UPDATE ON viewers TO geoingest_ingest;
GRANT SELECT, INSERT, UPDATE ON shares TO geoingest_ingest;
GRANT SELECT, INSERT, UPDATE, DELETE ON sessions TO geoingest_ingest;
GRANT SELECT, INSERT, UPDATE, DELETE ON login_failures TO geoingest_ingest;
GRANT EXECUTE ON FUNCTION failures_remembered(integer, timestamptz) TO geoingest_ingest;
GRANT EXECUTE ON FUNCTION seconds_to_wait(integer, timestamptz, integer, integer)
TO geoingest_ingest;

-- The rest of the directory.
GRANT SELECT, INSERT, UPDATE ON schools TO geoingest_ingest;
GRANT SELECT, INSERT, UPDATE ON classes TO geoingest_ingest;
GRANT SELECT, INSERT, UPDATE, DELETE ON school_holidays TO geoingest_ingest;
GRANT SELECT, INSERT, UPDATE, DELETE ON staff_scopes TO geoingest_ingest;
GRANT SELECT, INSERT, UPDATE, DELETE ON guardianships TO geoingest_ingest;

-- Who looked is written by the one and read by the other; neither changes it.
GRANT INSERT ON lookups TO geoingest_ingest;
GRANT EXECUTE ON FUNCTION record_many(integer, bigint, bigint[], bigint[]) TO geoingest_ingest;
GRANT EXECUTE ON FUNCTION seen_by(integer, bigint, integer, bigint[]) TO geoingest_ingest;
GRANT EXECUTE ON FUNCTION school_of(integer) TO geoingest_ingest;

-- Questions; each table with row-level security, but for the last, in which nobody is.
GRANT SELECT ON geolocation_seen TO geoingest_read;
GRANT SELECT ON geolocation_hourly TO geoingest_read;
GRANT SELECT ON geolocation_daily TO geoingest_read;
GRANT SELECT ON lookups TO geoingest_read;
GRANT SELECT ON group_lookups TO geoingest_read;
GRANT SELECT ON lookup_group_students TO geoingest_read;
GRANT SELECT ON rollup_state TO geoingest_read;
GRANT EXECUTE ON FUNCTION act_as(integer, integer, bigint[]) TO geoingest_read;
GRANT EXECUTE ON FUNCTION seen() TO geoingest_read;
GRANT EXECUTE ON FUNCTION seen_by(integer, bigint, integer, bigint[]) TO geoingest_read;
