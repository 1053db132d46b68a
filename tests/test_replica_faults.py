"""The replica pauses, falls behind, ends and comes back: readers are answered, and told from where."""

from __future__ import annotations

import asyncio
import contextlib
import pathlib
import time
from collections.abc import AsyncIterator

import psycopg

from geoingest.access import provision
from geoingest.local import cluster
from geoingest.tracking import replica
from tests import conftest, guardians, trees
from tests.traffic import Traffic

LEAVE_SECONDS = 5.0
RETURN_SECONDS = 15.0
IDLE_SECONDS = 15.0
# As many as may ask the primary at once.
READERS = 10


@contextlib.asynccontextmanager
async def _flowing(
    start: conftest.Start,
    database: conftest.Database,
    student: provision.Enrolled,
    *,
    readers: int = 2,
    max_lag_seconds: float = 5.0,
) -> AsyncIterator[Traffic]:
    """Traffic on a service that reads from the replica."""
    running = await start(database.settings(max_lag_seconds=max_lag_seconds))
    traffic = Traffic(running, student, max_lag_seconds=max_lag_seconds)
    async with traffic.flowing(readers=readers):
        await traffic.comes_from("replica", seconds=RETURN_SECONDS)
        yield traffic


def _processes(servers: cluster.Cluster, name: str = "") -> list[trees.Running]:
    """The replica's processes, or those of this name."""
    assert servers.replica.pid is not None
    commands = trees.command_lines()
    return [one for one in trees.tree(servers.replica.pid) if name in commands.get(one.pid, "")]


@contextlib.asynccontextmanager
async def _away(servers: cluster.Cluster) -> AsyncIterator[None]:
    """The replica's server is stopped for the block, whatever becomes of the test."""
    stopping = asyncio.create_task(asyncio.to_thread(servers.replica.stop))
    try:
        await asyncio.shield(stopping)
        yield
    finally:
        await stopping
        await asyncio.to_thread(servers.start_replica, conftest.SERVER_SETTINGS)


def _on_replica(servers: cluster.Cluster, statement: str) -> None:
    url = servers.url(cluster.REPLICA_PORT, user="postgres", database="postgres")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode())


async def test_a_replica_is_taken_once_it_has_replayed_what_the_primary_was_seen_at(
    database: conftest.Database, school: list[provision.Enrolled], start: conftest.Start
) -> None:
    """One that is behind as the service starts answers nothing yet: how old that would be is not known."""
    with psycopg.connect(database.replica_url) as connection:
        connection.execute("SELECT FROM rejected_pings")
        # Replay waits for whoever reads the table.
        database.query("TRUNCATE rejected_pings")
        running = await start(database.settings(max_lag_seconds=60.0))
        await asyncio.sleep(4 * replica.PROBE_SECONDS)

        assert not running.service.replica.in_use

    await conftest.until(lambda: running.service.replica.in_use, seconds=RETURN_SECONDS)
    answer = await guardians.Guardian(running, school[0].viewer_token).ask("/v1/locations")
    assert answer.body["source"] == "replica"


async def test_a_paused_replica_is_left_and_taken_again(
    servers: cluster.Cluster,
    database: conftest.Database,
    school: list[provision.Enrolled],
    start: conftest.Start,
) -> None:
    """Paused: answers come from the primary within 5 s; resumed: from the replica within 15 s."""
    async with _flowing(start, database, school[0]) as traffic:
        _on_replica(servers, "SELECT pg_wal_replay_pause()")
        try:
            left_after = await traffic.comes_from("primary", seconds=LEAVE_SECONDS)
            await traffic.goes_on(reads=20)
        finally:
            _on_replica(servers, "SELECT pg_wal_replay_resume()")
        back_after = await traffic.comes_from("replica", seconds=RETURN_SECONDS)

    assert left_after < LEAVE_SECONDS
    assert back_after < RETURN_SECONDS


async def test_a_replica_that_gets_no_wal_is_left_for_its_lag(
    servers: cluster.Cluster,
    database: conftest.Database,
    school: list[provision.Enrolled],
    start: conftest.Start,
) -> None:
    """Neither paused nor away, only behind: its measured lag passes the limit and it is left."""
    async with _flowing(start, database, school[0], max_lag_seconds=1.0) as traffic:
        with trees.standing_still(_processes(servers, "walreceiver")):
            left_after = await traffic.comes_from("primary", seconds=LEAVE_SECONDS)

    assert left_after > 0.5


async def test_a_replica_that_hangs_is_left(
    servers: cluster.Cluster,
    database: conftest.Database,
    school: list[provision.Enrolled],
    start: conftest.Start,
) -> None:
    """Its processes stand still and take questions without an answer: nobody gets anything but 200."""
    async with _flowing(start, database, school[0], readers=READERS) as traffic:
        with trees.standing_still(_processes(servers)):
            await traffic.comes_from("primary", seconds=LEAVE_SECONDS)
            await traffic.goes_on(reads=200)


async def test_a_replica_that_was_never_there_is_never_in_use(
    database: conftest.Database, start: conftest.Start, tmp_path: pathlib.Path
) -> None:
    """A service that starts without its replica does not say that reads go there."""
    nowhere = f"postgresql://nobody@/nothing?host={tmp_path}"
    running = await start(database.settings(database_replica_url=nowhere))
    said = set()

    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        said.add(running.service.replica.in_use)
        await asyncio.sleep(0.01)

    assert said == {False}


async def test_readers_and_phones_do_not_notice_a_stopped_replica(
    servers: cluster.Cluster,
    database: conftest.Database,
    school: list[provision.Enrolled],
    start: conftest.Start,
) -> None:
    """Ten readers at once and a phone get nothing but 200 while the replica is away and after."""
    async with _flowing(start, database, school[0], readers=READERS) as traffic:
        async with _away(servers):
            await traffic.comes_from("primary", seconds=LEAVE_SECONDS)
            writes_before = traffic.writes
            await traffic.goes_on(reads=200)
            writes_after = traffic.writes
        await traffic.comes_from("replica", seconds=RETURN_SECONDS)

    assert writes_after > writes_before


async def test_lag_of_an_idle_system_is_below_a_second(
    database: conftest.Database, start: conftest.Start
) -> None:
    """Nobody writes: the reported lag stays below 1 s and reads stay with the replica."""
    running = await start(database.settings())
    await conftest.until(lambda: running.service.replica.in_use, seconds=RETURN_SECONDS)
    lags, metric = [], []

    end = time.monotonic() + IDLE_SECONDS
    while time.monotonic() < end:
        lags.append(running.service.replica.lag_seconds)
        metric.append(await _lag_metric(running))
        await asyncio.sleep(0.05)

    assert len(lags) > 20
    assert max(lags) < 1
    assert max(metric) < 1
    assert running.service.replica.in_use


async def _lag_metric(running: conftest.Running) -> float:
    async with running.admin.get("/metrics") as got:
        lines = (await got.text()).splitlines()
    (line,) = (one for one in lines if one.startswith("geoingest_replica_lag_seconds "))
    return float(line.split()[1])
