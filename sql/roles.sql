-- The database's roles, run on the primary by who may make roles, and again after an update: psql -f sql/roles.sql
-- Nobody gets a password here: \password geoingest_ingest. What each may do in a database, `geoingest migrate` says
-- (grants.sql).
--
-- geoingest_owner   owns every table; for `geoingest migrate` and the commands
-- geoingest_jobs    becomes the owner as it logs in, so that the months it makes are the owner's; for `geoingest jobs`
-- geoingest_ingest  writes, and cannot read a coordinate; DATABASE_URL of `geoingest serve`
-- geoingest_read    reads under row-level security; DATABASE_READ_URL and DATABASE_REPLICA_URL of `geoingest serve`
--
-- Who reads wants the first of what an index has in order; a plan that expects one row would rather read a whole day
-- of them and sort it: of 3,500 students 190,000 blocks instead of 14,000.
-- Nobody who serves is helped by a plan made for its own values: what differs is whom it is about, not how it is found.
-- But a plan for an array of one looks cheaper than one for any array, so that each was made anew: the record of a
-- look-up took 0.53 ms of a core, now 0.24; to ask for a position 0.57, now 0.11.
-- Nor by one that is compiled: before PostgreSQL 18 a sort that is made although sorts are off looks dear enough for
-- that, and who is seen of a whole school took 70 ms instead of 1.
-- Together their connections leave some of 200 to others; a limit that was set by hand stays as it is.
-- The timeouts live with the role: poolers refuse them as start-up parameters and some hosts drop them silently.
-- The keepalives: a client that is gone without a word in the middle of a COPY holds its keys, and no other timeout
-- ends that. Half a minute instead of Linux's two hours; without effect on a unix socket.
DO $$
DECLARE
    one record;
    setting text;
BEGIN
    FOR one IN
        SELECT *
        FROM (
            VALUES
                ('geoingest_owner', 20, ARRAY['idle_in_transaction_session_timeout = ''60s''']),
                ('geoingest_jobs', 5, ARRAY['idle_in_transaction_session_timeout = ''60s''']),
                (
                    'geoingest_ingest',
                    100,
                    ARRAY[
                        'idle_in_transaction_session_timeout = ''15s''',
                        'plan_cache_mode = force_generic_plan',
                        'jit = off'
                    ]
                ),
                (
                    'geoingest_read',
                    60,
                    ARRAY[
                        'idle_in_transaction_session_timeout = ''15s''',
                        'plan_cache_mode = force_generic_plan',
                        'jit = off',
                        'default_transaction_read_only = on',
                        'enable_sort = off'
                    ]
                )
        ) AS wanted (role_name, most_connections, settings)
    LOOP
        IF to_regrole(one.role_name) IS NULL THEN
            EXECUTE format('CREATE ROLE %I LOGIN', one.role_name);
        END IF;
        -- Not where there is nothing to take: on a managed host, where nobody is a superuser, it is refused.
        IF EXISTS (
            SELECT
            FROM pg_roles AS role
            WHERE
                role.rolname = one.role_name
                AND (
                    role.rolsuper
                    OR role.rolcreatedb
                    OR role.rolcreaterole
                    OR role.rolreplication
                    OR role.rolbypassrls
                )
        ) THEN
            EXECUTE format(
                'ALTER ROLE %I NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS',
                one.role_name
            );
        END IF;
        IF (SELECT role.rolconnlimit FROM pg_roles AS role WHERE role.rolname = one.role_name) = -1 THEN
            EXECUTE format('ALTER ROLE %I CONNECTION LIMIT %s', one.role_name, one.most_connections);
        END IF;
        FOREACH setting IN ARRAY one.settings || ARRAY[
            'statement_timeout = ''30s''',
            'lock_timeout = ''5s''',
            'tcp_keepalives_idle = ''10s''',
            'tcp_keepalives_interval = ''5s''',
            'tcp_keepalives_count = 3'
        ] LOOP
            EXECUTE format('ALTER ROLE %I SET ', one.role_name) || setting;
        END LOOP;
    END LOOP;
END
$$;

GRANT geoingest_owner TO geoingest_jobs;

ALTER ROLE geoingest_jobs SET role = 'geoingest_owner';
