"""One embedded primary with its replica per run; a database of its own for each test."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import itertools
import os
import pathlib
import secrets
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import NamedTuple

import psycopg
import pytest
from aiohttp.test_utils import TestClient, TestServer
from psycopg import sql

from geoingest import app, config, db, parts
from geoingest.access import provision
from geoingest.lifecycle import migrations
from geoingest.local import cluster, roles

# Debian's PostgreSQL, where the run is to use it instead of the wheel's: see .ci/run.
POSTGRES_BIN = os.environ.get("TEST_POSTGRES_BIN")
TEMPLATE = "geoingest_template"
SERVER_SETTINGS = {
    "shared_buffers": "128MB",
    "max_connections": "200",
    "max_wal_size": "1GB",
    "fsync": "on",
    "synchronous_commit": "on",
    "hot_standby_feedback": "on",
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
}

_numbers = itertools.count(1)


def pytest_collection_modifyitems(items: list[pytest.Function]) -> None:
    """Marks what needs PostgreSQL, so that a second server can be given just that part; what is long comes first."""
    for item in items:
        if "servers" in item.fixturenames:
            item.add_marker(pytest.mark.db)
    # Last, the longest file would keep one process busy and the other idle.
    items.sort(key=lambda item: item.get_closest_marker("faults") is None)


def as_role(url: str, role: str) -> str:
    """The same way for another role than the owner; all have one password."""
    return url.replace(f"//{roles.OWNER}:", f"//{role}:", 1)


class Database(NamedTuple):
    """One test's own database, on the primary and as the replica sees it: its owner's, and a superuser's."""

    url: str
    replica_url: str
    admin_url: str

    def settings(self, **changes: object) -> config.Config:
        """The service's settings for this database, in the roles of a service, on free ports."""
        values: dict[str, object] = {
            "database_url": as_role(self.url, roles.INGEST),
            "database_read_url": as_role(self.url, roles.READ),
            "database_replica_url": as_role(self.replica_url, roles.READ),
            "database_direct_url": self.url,
            "port": 0,
            "admin_port": 0,
            # A few guardians make the load of many.
            "viewer_requests_per_second": 1e5,
            "logins_per_second": 1e5,
        }
        return config.Config(**{**values, **changes})  # type: ignore[arg-type]  # the tests' own

    def query(self, statement: str, *values: object) -> list[tuple[object, ...]]:
        """Runs a statement on the primary and returns its rows."""
        return _query(self.url, statement, values)

    def administer(self, statement: str, *values: object) -> list[tuple[object, ...]]:
        """The same as the superuser, to whom other roles' sessions are visible."""
        return _query(self.admin_url, statement, values)


def _query(url: str, statement: str, values: Sequence[object]) -> list[tuple[object, ...]]:
    with psycopg.connect(url, autocommit=True, cursor_factory=psycopg.RawCursor) as one:
        cursor = one.execute(statement.encode(), values)
        return cursor.fetchall() if cursor.description else []


@pytest.fixture(scope="session")
def servers() -> Iterator[cluster.Cluster]:
    """A primary and its streaming replica for the whole run."""
    # Below /tmp: as root the servers' own user must be able to reach the folder.
    with tempfile.TemporaryDirectory(prefix="geoingest-test-") as folder:
        path = pathlib.Path(folder)
        path.chmod(0o755)
        postgres_bin = pathlib.Path(POSTGRES_BIN) if POSTGRES_BIN else None
        made = cluster.Cluster(path, postgres_bin=postgres_bin)
        try:
            made.start(SERVER_SETTINGS)
            yield made
        finally:
            made.stop()


@pytest.fixture(scope="session")
def template(servers: cluster.Cluster) -> str:
    """A migrated database that each test's own is cloned from."""
    url = servers.url(cluster.PRIMARY_PORT, database=TEMPLATE)
    _admin(servers, sql.SQL("CREATE DATABASE {} OWNER {}"), TEMPLATE, roles.OWNER)
    migrations.run(url, detail_days=90, now=datetime.datetime.now(datetime.UTC))
    return TEMPLATE


@pytest.fixture
def database(servers: cluster.Cluster, template: str) -> Iterator[Database]:
    """A fresh, migrated database."""
    name = f"test_{next(_numbers)}_{secrets.token_hex(3)}"
    create = sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER {}")
    _admin(servers, create, name, template, roles.OWNER)
    try:
        yield Database(
            servers.url(cluster.PRIMARY_PORT, database=name),
            servers.url(cluster.REPLICA_PORT, database=name),
            servers.url(cluster.PRIMARY_PORT, user="postgres", database=name),
        )
    finally:
        _admin(servers, sql.SQL("DROP DATABASE {} WITH (FORCE)"), name)


@pytest.fixture
def school(database: Database) -> list[provision.Enrolled]:
    """Ten students, each with a device and a viewer."""
    with db.direct(database.url) as connection, connection.transaction():
        enrolled = provision.bulk(connection, 10)
    deadline = time.monotonic() + 30
    while not _is_replicated(database):
        assert time.monotonic() < deadline, "the replica does not follow"
        time.sleep(0.01)
    return enrolled


def _is_replicated(database: Database) -> bool:
    try:
        with psycopg.connect(database.replica_url) as replica:
            return replica.execute("SELECT count(*) FROM viewers").fetchone() == (10,)
    except psycopg.OperationalError:
        # Not even the database is there yet.
        return False


class Running(NamedTuple):
    """A service in this process, and a client of its public port."""

    service: parts.Service
    client: TestClient  # type: ignore[type-arg]  # generic only for the type checker
    admin: TestClient  # type: ignore[type-arg]


Start = Callable[[config.Config], Awaitable[Running]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Starts services in this process and stops them after the test."""
    async with contextlib.AsyncExitStack() as stack:

        async def start_one(settings: config.Config) -> Running:
            service = await stack.enter_async_context(parts.running(settings))
            public = TestServer(app.public(settings, service))
            client = await stack.enter_async_context(TestClient(public))
            admin = await stack.enter_async_context(TestClient(TestServer(app.admin(service))))
            await until(
                lambda: (
                    bool(service.queue.open_lanes)
                    and service.credentials.is_fresh
                    and service.audit.is_open
                    and service.wide_audit.is_open
                )
            )
            return Running(service, client, admin)

        yield start_one


@pytest.fixture
async def running(database: Database, start: Start) -> Running:
    """A service on this test's database."""
    return await start(database.settings())


@pytest.fixture
async def primary(database: Database, start: Start) -> Running:
    """The same without a replica: what was just written is read at once."""
    return await start(database.settings(database_replica_url=""))


async def until(condition: Callable[[], bool], *, seconds: float = 10.0) -> None:
    """Returns once the condition holds; TimeoutError when it does not in time."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


def _admin(servers: cluster.Cluster, statement: sql.SQL, *names: str) -> None:
    url = servers.url(cluster.PRIMARY_PORT, user="postgres", database="postgres")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.format(*map(sql.Identifier, names)))
