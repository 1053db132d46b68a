"""The service refuses a role that could do harm, and one that cannot do its work, before it answers anybody."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import urllib.parse
from collections.abc import Iterator

import aiohttp
import psycopg
import pytest

from geoingest import errors, parts
from geoingest.access import provision
from geoingest.lifecycle import migrations
from geoingest.local import child, roles
from tests import clusters, conftest, processes, senders, test_roles
from tests.oracle import told

# What a role is given beside what it needs, and what is said of it.
_POWERS = {
    "superuser": ("ALTER ROLE {} SUPERUSER", "is a superuser"),
    "member of a superuser": ("GRANT postgres TO {}", "is a superuser"),
    "programs of the server": ("GRANT pg_execute_server_program TO {}", "is a superuser"),
    "bypassrls": ("ALTER ROLE {} BYPASSRLS", "bypasses row-level security"),
    "all data": ("GRANT pg_read_all_data TO {}", "on a partition"),
    "member of the owner": (f"GRANT {roles.OWNER} TO {{}}", "owns tables"),
    "who may become the owner": (
        f"ALTER ROLE {{}} NOINHERIT; GRANT {roles.OWNER} TO {{}}",
        "owns tables",
    ),
    "owner of a table": ("CREATE TABLE mine (); ALTER TABLE mine OWNER TO {}", "owns tables"),
    "a month": (f"GRANT SELECT ON {test_roles.MONTH} TO {{}}", "on a partition"),
    "a column of a month": (
        f"GRANT SELECT (latitude) ON {test_roles.MONTH} TO {{}}",
        "on a partition",
    ),
    "a month, to everybody": (f"GRANT DELETE ON {test_roles.MONTH} TO PUBLIC", "on a partition"),
    "positions": ("GRANT SELECT ON geolocation_data TO {}", "reads positions"),
    "rejects": ("GRANT SELECT ON rejected_pings TO {}", "reads positions"),
    "a table without its wall": (
        "ALTER TABLE geolocation_daily DISABLE ROW LEVEL SECURITY",
        "reads positions",
    ),
    "new tables": ("GRANT CREATE ON SCHEMA public TO {}", "may make tables"),
}


@pytest.fixture
def stranger(database: conftest.Database) -> Iterator[str]:
    """A role that may do all that the service does, and no more."""
    name = f"stranger_{secrets.token_hex(4)}"
    password = urllib.parse.urlsplit(database.url).password
    database.administer(f"CREATE ROLE {name} LOGIN PASSWORD '{password}'")
    database.administer(f"GRANT {roles.INGEST}, {roles.READ} TO {name}")
    yield name
    for statement in ("REASSIGN OWNED BY {} TO postgres", "DROP OWNED BY {}", "DROP ROLE {}"):
        database.administer(statement.format(name))


def _all(database: conftest.Database, role: str) -> dict[str, str]:
    """The settings that lead to the primary, in one role."""
    url = conftest.as_role(database.url, role)
    return {"database_url": url, "database_read_url": url, "database_replica_url": ""}


async def _refusal(database: conftest.Database, **changes: str) -> str:
    """What a service says that does not start."""
    with pytest.raises(errors.SettingsError) as refused:
        async with parts.running(database.settings(**changes)):
            pass
    return str(refused.value)


async def test_a_role_of_ones_own_that_may_do_no_more_is_fit(
    database: conftest.Database,
    school: list[provision.Enrolled],
    stranger: str,
    start: conftest.Start,
) -> None:
    """It is what a role may do that counts, not its name."""
    running = await start(database.settings(**_all(database, stranger)))
    headers = {"Authorization": f"Bearer {school[0].viewer_token}"}

    async with running.client.get("/v1/locations", headers=headers) as answer:
        assert answer.status == 200


@pytest.mark.parametrize("power", list(_POWERS))
async def test_a_role_that_may_do_more_is_refused(
    database: conftest.Database, stranger: str, power: str
) -> None:
    """Whatever it could do past the second wall, also as a member of others; said with the next step."""
    statement, words = _POWERS[power]
    for one in statement.split(";"):
        database.administer(one.format(stranger))

    said = await _refusal(database, **_all(database, stranger))

    assert words in said
    assert stranger in said
    assert "sql/roles.sql" in said
    assert str(urllib.parse.urlsplit(database.url).password) not in said


@pytest.mark.parametrize("role", ["postgres", roles.OWNER, roles.JOBS])
@pytest.mark.parametrize("setting", ["database_url", "database_read_url"])
async def test_each_setting_is_looked_at(
    database: conftest.Database, setting: str, role: str
) -> None:
    """Superuser, owner, and who becomes the owner: by the name of the setting that leads there."""
    url = conftest.as_role(database.url, role)

    said = await _refusal(database, **{setting: url, "database_replica_url": ""})

    assert said.startswith(f"{setting.upper()}: the role {role} ")


async def test_the_replica_is_looked_at(database: conftest.Database) -> None:
    """As soon as it has the database."""
    await conftest.until(lambda: _is_there(database.replica_url))

    said = await _refusal(database, database_replica_url=database.replica_url)

    assert said.startswith(f"DATABASE_REPLICA_URL: the role {roles.OWNER} owns tables")


def _is_there(url: str) -> bool:
    with contextlib.suppress(psycopg.OperationalError), psycopg.connect(url):
        return True
    return False


@pytest.mark.parametrize(
    ("setting", "role", "words"),
    [
        ("database_url", roles.READ, "may not write"),
        ("database_read_url", roles.INGEST, "may not read"),
    ],
)
async def test_a_role_that_cannot_do_its_work_is_refused(
    database: conftest.Database, setting: str, role: str, words: str
) -> None:
    """Where the two were mixed up, every ping or every question would fail."""
    url = conftest.as_role(database.url, role)

    said = await _refusal(database, **{setting: url, "database_replica_url": ""})

    assert words in said
    assert "geoingest migrate" in said


async def test_before_the_first_migration_it_waits(
    database: conftest.Database,
) -> None:
    """A service may start before `geoingest migrate`; until then nothing is asked, afterwards all is well."""
    database.query("DROP SCHEMA public CASCADE")
    database.query("CREATE SCHEMA public")

    async with parts.running(database.settings(database_replica_url="")) as service:
        before = [await one() for one in (service.primary_problem, service.reads_problem)]
        migrations.run(database.url, detail_days=90, now=test_roles.NOW)
        await conftest.until(lambda: bool(service.queue.open_lanes))
        after = [await one() for one in (service.primary_problem, service.reads_problem)]

    assert None not in before
    assert after == [None, None]


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_serve_ends_with_78(database: conftest.Database, workers: str) -> None:
    """Before it listens, alone or as several workers: one line on stderr says what and why."""
    environment = {**processes.urls(database), "DATABASE_URL": database.url}
    with processes.Service({**environment, "GEOINGEST_WORKERS": workers}) as service:
        code = await service.ended(seconds=processes.START_SECONDS)
        said = service.output()

    assert code == 78
    assert f"geoingest: DATABASE_URL: the role {roles.OWNER} owns tables" in said
    assert "serving" not in said
    assert "Traceback" not in said


@pytest.mark.faults
async def test_a_server_that_was_away_is_looked_at_before_it_is_used() -> None:
    """The service runs and refuses; once the database answers it ends with 78, and has stored nothing."""
    log = told.Log()
    with clusters.alone() as made:
        database = clusters.database(made)
        school = clusters.school(database, students=1)
        await asyncio.to_thread(made.primary.stop)
        with processes.Service(
            {**processes.urls(database), "DATABASE_URL": database.url}
        ) as service:
            await service.says("serving")
            async with aiohttp.ClientSession(service.url) as session:
                await senders.Sender(school[0], log).post(session)
            await clusters.start_again(made)
            code = await service.ended()
            said = service.output()
        stored = database.query("SELECT count(*) FROM geolocation_data")

    assert (code, stored) == (78, [(0,)])
    assert [one.status for one in log.answers] == [503]
    assert "owns tables" in said
    assert "Traceback" not in said


async def test_under_up_it_only_warns(database: conftest.Database) -> None:
    """Who tries it with a database of his own and one role for all is told, and served."""
    url = database.url
    environment = {
        "DATABASE_URL": url,
        "DATABASE_DIRECT_URL": url,
        "GEOINGEST_WORKERS": "2",
        child._OF_UP_VARIABLE: "1",
    }
    with processes.Service(environment) as service:
        await service.ready()
        said = service.output()

    assert f"DATABASE_URL: the role {roles.OWNER} owns tables" in said
    assert f"DATABASE_READ_URL: the role {roles.OWNER} owns tables" in said
