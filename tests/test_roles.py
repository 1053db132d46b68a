"""The database's roles: what each must not do is refused by the database itself, whatever the service does."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Iterator, Sequence

import psycopg
import pytest

from geoingest import db
from geoingest.lifecycle import migrations, partitions
from geoingest.local import cluster, roles
from tests import conftest, poolers

CHILD, OTHER, UNSEEN = 1, 2, 3
GUARDIAN = 7
WALLED = ("geolocation_seen", "geolocation_hourly", "geolocation_daily", "lookups")
NOW = datetime.datetime.now(datetime.UTC)
MONTH = partitions.name(NOW.date().replace(day=1))
_PING = (
    'INSERT INTO geolocation_data (student_id, "timestamp", device_id, latitude, longitude,'
    " received_at) VALUES (1, now(), 1, 1, 1, now())"
)
_STUDENTS = "SELECT student_id FROM {}"
NOBODYS = [
    "SELECT latitude FROM geolocation_data",
    "SELECT longitude FROM geolocation_data",
    "SELECT student_id FROM geolocation_data WHERE latitude > 0",
    "SELECT geolocation_data FROM geolocation_data",
    "COPY geolocation_data TO STDOUT",
    "COPY (SELECT latitude FROM geolocation_data) TO STDOUT",
    "COPY geolocation_data TO PROGRAM 'cat'",
    f"TABLE {MONTH}",
    f"SELECT student_id FROM {MONTH}",  # noqa: S608  # a name of ours
    f"COPY {MONTH} TO STDOUT",
    f"INSERT INTO {MONTH} (student_id) VALUES (1)",  # noqa: S608
    f"DELETE FROM {MONTH}",  # noqa: S608
    f"TRUNCATE {MONTH}",
    f'{_PING} ON CONFLICT (student_id, "timestamp", device_id) DO UPDATE SET speed = 1',
    f"{_PING} RETURNING latitude",
    "UPDATE geolocation_data SET latitude = 0",
    "DELETE FROM geolocation_data",
    "TRUNCATE geolocation_data",
    "SELECT raw FROM rejected_pings",
    "UPDATE lookups SET viewer_id = 2",
    "DELETE FROM lookups",
    "TRUNCATE lookups",
    "SELECT expire_lookups(now(), 10)",
    "ALTER TABLE lookups DISABLE TRIGGER ALL",
    "ALTER TABLE geolocation_seen DISABLE ROW LEVEL SECURITY",
    "CREATE POLICY everybody ON geolocation_hourly USING (TRUE)",
    "SELECT roll_hours(0, 10, now(), now())",
    "UPDATE geolocation_hourly SET pings = 1",
    "DELETE FROM geolocation_daily",
    "UPDATE rollup_state SET closed_to = now()",
    "UPDATE devices SET student_id = 1",
    "DELETE FROM students",
    "DELETE FROM viewers",
    "SELECT student_id FROM erasures",
    "SELECT job FROM job_runs",
    "CREATE TABLE copied (latitude double precision)",
    "CREATE FUNCTION copied() RETURNS integer LANGUAGE sql RETURN 1",
    "DROP TABLE lookups",
    "ALTER TABLE students ADD COLUMN name text",
    "CREATE ROLE accomplice",
    "GRANT SELECT ON job_runs TO PUBLIC",
    f"SET ROLE {roles.OWNER}",
    f"SET SESSION AUTHORIZATION {roles.OWNER}",
    "SET session_replication_role = replica",
]
NOT_OF_INGEST = [
    *(f"TABLE {table}" for table in WALLED),
    "SELECT act_as(1, 0, NULL)",
    "SELECT student_id FROM seen()",
    "SELECT student_id FROM rollup_dirty",
    f"SET ROLE {roles.READ}",
]
NOT_OF_READ = [
    *(
        f"TABLE {table}"
        for table in (
            *("students", "viewers", "devices", "guardianships", "staff_scopes", "schools"),
            *("classes", "school_holidays", "sessions", "shares", "login_failures"),
            *("rejected_pings", "rollup_dirty", "geolocation_data"),
        )
    ),
    _PING,
    "INSERT INTO lookups (viewer_id, student_id, kind, rows) VALUES (1, 1, 'location', 1)",
    "UPDATE viewers SET sees_all = TRUE",
    "DELETE FROM sessions",
    f"SET ROLE {roles.INGEST}",
]


@contextlib.contextmanager
def _session(database: conftest.Database, role: str) -> Iterator[psycopg.Connection]:
    """Of which no default is in the way: only what is granted."""
    with psycopg.connect(conftest.as_role(database.url, role), autocommit=True) as connection:
        connection.execute("SET default_transaction_read_only = off")
        yield connection


@pytest.mark.parametrize(
    ("role", "statements"),
    [(roles.INGEST, NOBODYS + NOT_OF_INGEST), (roles.READ, NOBODYS + NOT_OF_READ)],
)
def test_what_is_not_a_roles_own_is_refused(
    database: conftest.Database,
    subtests: pytest.Subtests,
    role: str,
    statements: Sequence[str],
) -> None:
    """No coordinate for who writes, no table but its own for who reads, no change of what is on record for either."""
    with _session(database, role) as connection:
        for statement in statements:
            with subtests.test(statement), pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement.encode())


def test_each_of_them_would_be_possible(
    database: conftest.Database, subtests: pytest.Subtests
) -> None:
    """The superuser is refused none for want of a privilege or for a mistake in it."""
    nonsense = (
        psycopg.errors.InsufficientPrivilege,
        psycopg.errors.SyntaxErrorOrAccessRuleViolation,
    )
    for statement in [*NOBODYS, *NOT_OF_INGEST, *NOT_OF_READ]:
        with (
            subtests.test(statement),
            contextlib.closing(psycopg.connect(database.admin_url)) as one,
        ):
            refused: psycopg.Error | None = None
            try:
                one.execute(statement.encode())
            except psycopg.Error as exc:
                refused = exc

            assert not isinstance(refused, nonsense)


def _granted(database: conftest.Database) -> list[tuple[object, ...]]:
    """Everything that anybody but its owner may do on a month, or on a column of it."""
    return database.query(
        "SELECT month.relname, entry.grantee, entry.privilege_type FROM pg_inherits"
        " JOIN pg_class month ON month.oid = inhrelid"
        " LEFT JOIN pg_attribute ON attrelid = month.oid"
        " CROSS JOIN LATERAL (SELECT * FROM aclexplode(month.relacl)"
        " UNION ALL SELECT * FROM aclexplode(attacl)) entry"
        " WHERE inhparent = 'geolocation_data'::regclass AND entry.grantee <> month.relowner"
    )


def test_nothing_is_granted_on_a_month(database: conftest.Database) -> None:
    """Neither on those that are there, nor on those that the jobs make later, whatever the defaults were."""
    database.query("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC")
    database.query(f"ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON TABLES TO {roles.READ}")
    database.query(f"GRANT SELECT (latitude) ON {MONTH} TO {roles.INGEST}")
    database.administer("GRANT CREATE ON SCHEMA public TO PUBLIC")
    before = _granted(database)

    migrations.run(database.url, detail_days=90, now=NOW)
    with db.direct(conftest.as_role(database.url, roles.JOBS)) as connection:
        made = partitions.ensure(connection, detail_days=200, now=NOW)

    assert len(before) == 1
    assert made
    assert _granted(database) == []
    may_create = "SELECT has_schema_privilege($1::name, 'public', 'CREATE')"
    assert database.query(may_create, roles.READ) == [(False,)]
    owners = database.query(
        "SELECT DISTINCT relowner::regrole::text FROM pg_class WHERE relname ~ '^geolocation_'"
    )
    assert owners == [(roles.OWNER,)]


@pytest.fixture
def seen(database: conftest.Database) -> conftest.Database:
    """Three students in each of the walled tables; a guardian of the first two."""
    for student in (CHILD, OTHER, UNSEEN):
        database.query("INSERT INTO students (student_id) VALUES ($1)", student)
        database.query(
            'INSERT INTO geolocation_data (student_id, "timestamp", device_id, latitude, longitude,'
            " received_at) SELECT $1, now() - interval '2 hours', 1, 1, 1, now()",
            student,
        )
        database.query(
            "INSERT INTO lookups (viewer_id, student_id, kind, rows) VALUES (1, $1, 'days', 1)",
            student,
        )
    window = "0, 10, now() - interval '3 days', now() + interval '1 day'"
    database.query(f"SELECT roll_hours({window})")
    database.query(f"SELECT roll_days({window})")
    database.query("INSERT INTO viewers (viewer_id) VALUES ($1)", GUARDIAN)
    for student in (CHILD, OTHER):
        database.query("INSERT INTO guardianships VALUES ($1, $2)", GUARDIAN, student)
    return database


def _students(connection: psycopg.Connection) -> list[set[object]]:
    """Whom each of the walled tables shows."""
    return [
        {student for (student,) in connection.execute(_STUDENTS.format(table).encode())}
        for table in WALLED
    ]


def _looked(connection: psycopg.Connection) -> list[list[set[object]]]:
    """Before somebody is named, on behalf of the guardian, of one of two, of nobody's viewer, and afterwards."""
    found = [_students(connection)]
    for viewer, among in ((GUARDIAN, None), (GUARDIAN, [CHILD, UNSEEN]), (GUARDIAN + 1, None)):
        with connection.transaction():
            connection.execute("SELECT act_as(%s, 0, %s)", [viewer, among])
            found.append(_students(connection))
        found.append(_students(connection))
    return found


_SEEN: list[set[object]] = [set(), {CHILD, OTHER}, set(), {CHILD}, set(), set(), set()]
EXPECTED = [[one] * len(WALLED) for one in _SEEN]


def test_only_whom_the_viewer_sees_is_shown_and_no_longer_than_the_question(
    seen: conftest.Database,
) -> None:
    """Who reads sees nobody until somebody is named, then hers alone, and nobody after the transaction."""
    with psycopg.connect(conftest.as_role(seen.url, roles.READ), autocommit=True) as connection:
        assert _looked(connection) == EXPECTED


@poolers.needed
def test_no_other_client_of_a_pooler_sees_on_her_behalf(
    seen: conftest.Database, servers: cluster.Cluster
) -> None:
    """Two clients that share one session of the server: what was named for one is not there for the other."""
    with poolers.in_front_of(servers, cluster.PRIMARY_PORT) as bouncer:
        url = bouncer.url(conftest.as_role(seen.url, roles.READ))
        with (
            psycopg.connect(url, autocommit=True, prepare_threshold=None) as one,
            psycopg.connect(url, autocommit=True, prepare_threshold=None) as other,
        ):
            assert _looked(one) == EXPECTED
            assert _students(other) == EXPECTED[0]
            sessions = [
                {each.execute("SELECT pg_backend_pid()").fetchone() for _ in range(4)}
                for each in (one, other)
            ]

    assert sessions[0] & sessions[1]


def test_without_the_wall_the_test_would_see_it(seen: conftest.Database) -> None:
    """Taken out of one table, everybody shows there."""
    seen.query("ALTER TABLE geolocation_hourly DISABLE ROW LEVEL SECURITY")

    with psycopg.connect(conftest.as_role(seen.url, roles.READ), autocommit=True) as connection:
        assert _students(connection) == [set(), {CHILD, OTHER, UNSEEN}, set(), set()]


@pytest.mark.parametrize("role", roles.ALL)
def test_each_role_is_bounded(database: conftest.Database, role: str) -> None:
    """In connections and in time, and none is more than it has to be."""
    names = (
        *("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"),
        *("tcp_keepalives_idle", "tcp_keepalives_interval", "tcp_keepalives_count"),
    )
    with psycopg.connect(conftest.as_role(database.url, role)) as connection:
        defaults: dict[object, object] = dict(
            connection.execute(
                "SELECT name, reset_val FROM pg_settings WHERE name = any(%s)", [list(names)]
            ).fetchall()
        )
        shown = connection.execute("SHOW default_transaction_read_only").fetchone()
    powers = database.query(
        "SELECT rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication FROM pg_roles"
        " WHERE rolname = $1 AND rolconnlimit BETWEEN 1 AND 100",
        role,
    )

    assert set(defaults) == set(names)
    assert "0" not in defaults.values()
    assert shown == ("on" if role == roles.READ else "off",)
    assert powers == [(False,) * 5]


@pytest.mark.parametrize("role", [roles.INGEST, roles.READ])
def test_who_serves_keeps_its_plans_and_compiles_none(
    database: conftest.Database, role: str
) -> None:
    """Each question is short, and the same for everybody."""
    with psycopg.connect(conftest.as_role(database.url, role)) as connection:
        settings = [
            connection.execute("SELECT current_setting(%s)", [name]).fetchone()
            for name in ("plan_cache_mode", "jit")
        ]

    assert settings == [("force_generic_plan",), ("off",)]


def test_the_jobs_are_the_owner(database: conftest.Database) -> None:
    """From their first statement, so that whatever they make is the owner's."""
    with db.direct(conftest.as_role(database.url, roles.JOBS)) as connection:
        found = connection.execute("SELECT session_user::text AS a, current_user::text AS b")

        assert db.one(found) == {"a": roles.JOBS, "b": roles.OWNER}
