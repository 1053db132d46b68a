-- name: privileges
-- privileges.Privileges, on any server, once for each setting. Catalogs only: each role that the session may become
-- against each month. NULL where a table is not there yet.
WITH reached AS (
    SELECT
        oid,
        rolname,
        rolsuper,
        rolbypassrls
    FROM pg_roles
    WHERE pg_has_role(session_user, oid, 'MEMBER')
),

months AS (
    SELECT inhrelid AS oid
    FROM pg_inherits
    WHERE inhparent = to_regclass('public.geolocation_data')
)

SELECT
    session_user::text AS role_name,
    to_regclass('public.geolocation_seen') IS NOT NULL AS has_schema,
    pg_is_in_recovery() AS in_recovery,
    exists(
        SELECT
        FROM reached
        WHERE
            reached.rolsuper
            OR reached.rolname IN (
                'pg_execute_server_program', 'pg_read_server_files', 'pg_write_server_files'
            )
    ) AS is_superuser,
    exists(
        SELECT
        FROM reached
        WHERE reached.rolbypassrls
    ) AS bypasses_row_security,
    exists(
        SELECT
        FROM pg_class AS class
        INNER JOIN reached ON class.relowner = reached.oid
        WHERE
            class.relnamespace = 'public'::regnamespace
            AND class.relkind IN ('r', 'p')
    ) AS owns_tables,
    exists(
        SELECT
        FROM reached
        WHERE has_schema_privilege(reached.oid, 'public', 'CREATE')
    ) AS makes_tables,
    exists(
        SELECT
        FROM months
        CROSS JOIN reached
        WHERE
            has_table_privilege(reached.oid, months.oid, 'DELETE, TRUNCATE, TRIGGER')
            OR has_any_column_privilege(
                reached.oid, months.oid, 'SELECT, INSERT, UPDATE, REFERENCES'
            )
    ) AS is_granted_a_month,
    EXISTS (
        SELECT
        FROM reached
        WHERE
            has_column_privilege(
                reached.oid, to_regclass('public.geolocation_data'), 'latitude', 'SELECT'
            )
            OR has_column_privilege(
                reached.oid, to_regclass('public.geolocation_data'), 'longitude', 'SELECT'
            )
            OR has_column_privilege(
                reached.oid, to_regclass('public.rejected_pings'), 'raw', 'SELECT'
            )
    )
    OR EXISTS (
        SELECT
        FROM (
            VALUES
            (to_regclass('public.geolocation_seen')),
            (to_regclass('public.geolocation_hourly')),
            (to_regclass('public.geolocation_daily')),
            (to_regclass('public.lookups')),
            (to_regclass('public.group_lookups')),
            (to_regclass('public.lookup_group_students'))
        ) AS walled (class)
        WHERE
            has_table_privilege(walled.class, 'SELECT')
            AND NOT row_security_active(walled.class)
    ) AS reads_all_positions,
    has_column_privilege(to_regclass('public.geolocation_data'), 'latitude', 'INSERT')
    AND has_column_privilege(to_regclass('public.geolocation_data'), 'device_id', 'SELECT')
    AND has_table_privilege(to_regclass('public.lookups'), 'INSERT')
    AND has_table_privilege(to_regclass('public.devices'), 'SELECT') AS may_write,
    has_table_privilege(to_regclass('public.geolocation_seen'), 'SELECT')
    AND has_table_privilege(to_regclass('public.geolocation_hourly'), 'SELECT')
    AND has_table_privilege(to_regclass('public.geolocation_daily'), 'SELECT')
    AND has_table_privilege(to_regclass('public.lookups'), 'SELECT')
    AND has_table_privilege(to_regclass('public.group_lookups'), 'SELECT') AS may_read;
