"""A connection goes to the server of a URL that takes writes, whichever of them that is just now."""

from __future__ import annotations

import asyncio
import contextlib
import pathlib
import urllib.parse
from collections.abc import AsyncIterator

import asyncpg
import pytest

from geoingest import connections, db, errors
from tests import conftest


@pytest.mark.parametrize(
    ("url", "servers"),
    [
        ("postgresql://geo@/geo", [db.Server()]),
        ("postgresql://geo@here:5433/geo", [db.Server()]),
        ("postgresql://geo@[::1]/geo", [db.Server()]),
        ("postgresql://geo@a:1,b:2/geo", [db.Server("a", 1), db.Server("b", 2)]),
        ("postgresql://geo@a,b:2/geo", [db.Server("a", 5432), db.Server("b", 2)]),
        ("postgresql://geo@/geo?host=/a,/b&port=1,2", [db.Server("/a", 1), db.Server("/b", 2)]),
        ("postgresql://geo@/geo?host=/a,/b&port=7", [db.Server("/a", 7), db.Server("/b", 7)]),
        ("postgresql://geo@[::1]:1,[::2]:2/geo", [db.Server("::1", 1), db.Server("::2", 2)]),
    ],
)
def test_every_server_of_a_url_is_found(url: str, servers: list[db.Server]) -> None:
    """As libpq reads it; a single one is left to the driver with all else that the URL says."""
    db.check_url("DATABASE_URL", url)

    assert db.servers(url) == servers


def test_ports_that_do_not_match_the_hosts_stop_the_start() -> None:
    """By the setting's name, before anything connects."""
    with pytest.raises(errors.SettingsError, match="DATABASE_URL"):
        db.check_url("DATABASE_URL", "postgresql://geo@/geo?host=/a,/b&port=1,2,3")


@contextlib.asynccontextmanager
async def _hanging(folder: pathlib.Path) -> AsyncIterator[pathlib.Path]:
    """A socket that takes callers and never says anything."""
    done = asyncio.Event()

    async def say_nothing(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await done.wait()
        writer.close()

    server = await asyncio.start_unix_server(say_nothing, folder / ".s.PGSQL.5432")
    try:
        yield folder
    finally:
        done.set()
        server.close()


def _url(database: conftest.Database, *others: pathlib.Path) -> str:
    """These first, then the standby, and the primary last."""
    parts = urllib.parse.urlsplit(database.url)
    found = [
        urllib.parse.parse_qs(urllib.parse.urlsplit(one).query)
        for one in (database.replica_url, database.url)
    ]
    hosts = [*map(str, others), *(one["host"][0] for one in found)]
    ports = [*("5432" for _ in others), *(one["port"][0] for one in found)]
    query = f"host={','.join(hosts)}&port={','.join(ports)}"
    return urllib.parse.urlunsplit(parts._replace(query=query))


async def test_neither_a_standby_nor_one_that_hangs_nor_one_that_is_away_is_in_the_way(
    database: conftest.Database, tmp_path: pathlib.Path
) -> None:
    """The primary is found in less time than one that hangs is given, for one connection and for a pool."""
    async with _hanging(tmp_path) as hanging, asyncio.timeout(db.CONNECT_SECONDS):
        url = _url(database, hanging, tmp_path / "nowhere")
        alone = await connections.connect(url)
        pool = await connections.primary_pool(url, size=1, timeout_seconds=5)
        answers = [await one.fetchval("SELECT pg_is_in_recovery()") for one in (alone, pool)]

    alone.terminate()
    pool.terminate()

    assert answers == [False, False]


async def test_a_standby_alone_is_refused(database: conftest.Database) -> None:
    """Where every write would fail with 25006, there is no connection in the first place."""
    await conftest.until(lambda: _is_there(database))

    with pytest.raises(asyncpg.TargetServerAttributeNotMatched):
        await connections.connect(database.replica_url)


def _is_there(database: conftest.Database) -> bool:
    """The database itself has reached the standby."""
    with contextlib.suppress(errors.DatabaseAwayError), db.direct(database.replica_url):
        return True
    return False
