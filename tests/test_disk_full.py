"""The database's disk fills up under load: an outage that ends with it, and no loss."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pathlib
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator

import psycopg
import pytest

from geoingest.access import provision
from geoingest.local import cluster
from tests import clusters, conftest, processes, senders
from tests.oracle import counted, judge, stored, told

# The promise: from the moment that there is space again.
RESUME_SECONDS = 30.0
PHONES = 20
# For initdb and some segments of WAL.
_DISK = "size=192m,mode=755"
_SETTINGS = {**conftest.SERVER_SETTINGS, "max_wal_size": "64MB", "min_wal_size": "32MB"}
_BALLAST_BYTES = 2**20
_LOOK_SECONDS = 0.1
_MOST_SEGMENTS = 50
# So many refusals on end are no hiccup.
_ON_END = 200

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk to fill"),
]


@pytest.fixture
def disk() -> Iterator[pathlib.Path]:
    """A folder with a disk of its own, in memory."""
    with clusters.folder() as path:
        mount = ["mount", "-t", "tmpfs", "-o", _DISK, "geoingest-test", str(path)]
        made = subprocess.run(mount, check=False, capture_output=True, text=True)
        if made.returncode:
            pytest.skip(f"no small disk to fill: {made.stderr.strip()}")
        try:
            yield path
        finally:
            subprocess.run(["umount", "--lazy", str(path)], check=True)


@pytest.fixture
def servers(disk: pathlib.Path) -> Iterator[cluster.Cluster]:
    """A primary on it."""
    with clusters.running(disk, _SETTINGS) as made:
        yield made


@pytest.fixture
def database(servers: cluster.Cluster) -> conftest.Database:
    """Its database."""
    return clusters.database(servers)


@pytest.fixture
def school(database: conftest.Database) -> list[provision.Enrolled]:
    """A student for each phone."""
    return clusters.school(database, students=PHONES)


async def test_a_full_disk_is_an_outage_and_no_loss(
    disk: pathlib.Path,
    servers: cluster.Cluster,
    database: conftest.Database,
    school: list[provision.Enrolled],
) -> None:
    """All get 503, also when the server ends for want of WAL; with space again ingest resumes."""
    log = told.Log()

    async with processes.serving(database) as service:
        async with _looked_after(servers), senders.posting(service.url, school, log, sizes=(100,)):
            async with _full(disk):
                await conftest.until(lambda: _refuses(log), seconds=30)
                await asyncio.to_thread(_use_up_wal, database)
                ended_at = time.monotonic()
                await conftest.until(lambda: log.count(503, since=ended_at) > _ON_END, seconds=30)
            free_at = time.monotonic()
            await conftest.until(
                lambda: log.count(200, since=free_at) > PHONES, seconds=RESUME_SECONDS
            )
        counts = counted.read(await service.metrics())

    assert log.cut == 0
    assert not log.unknown
    judge.check(log, database, counts)


async def test_the_check_finds_a_service_that_assumes_the_best(
    disk: pathlib.Path,
    servers: cluster.Cluster,
    database: conftest.Database,
    school: list[provision.Enrolled],
) -> None:
    """What it answered for while the disk was full is lost."""
    log = told.Log()

    async with (
        processes.serving(database, module="tests.broken.assumes_stored") as service,
        _looked_after(servers),
        senders.posting(service.url, school, log, sizes=(100,)),
        _full(disk),
    ):
        full_at = time.monotonic()
        # Where it is WAL that finds no space first, only what was under way then was answered for.
        await conftest.until(
            lambda: log.count(200, since=full_at) > _ON_END or _refuses(log), seconds=30
        )

    assert judge.find(log, stored.read(database)).lost


def _use_up_wal(database: conftest.Database) -> None:
    """Segment after segment, until the server cannot make the next one and panics."""
    with (
        contextlib.suppress(psycopg.OperationalError),
        psycopg.connect(database.admin_url, autocommit=True) as connection,
    ):
        for _ in range(_MOST_SEGMENTS):
            connection.execute("SELECT pg_create_restore_point('full'), pg_switch_wal()")
        raise AssertionError("the disk is not full")


def _refuses(log: told.Log) -> bool:
    """True when not one of many answers on end was good."""
    last = log.answers[-_ON_END:]
    return len(last) == _ON_END and all(one.status == 503 for one in last)


@contextlib.asynccontextmanager
async def _full(disk: pathlib.Path) -> AsyncIterator[None]:
    """Not a byte is free for as long as the block lasts, whatever the server throws away."""
    ballast = disk / "ballast"

    def grow() -> None:
        with contextlib.suppress(OSError), ballast.open("ab", buffering=0) as file:
            while True:
                file.write(bytes(_BALLAST_BYTES))

    try:
        async with _again_and_again(grow):
            yield
    finally:
        ballast.unlink(missing_ok=True)


@contextlib.asynccontextmanager
async def _looked_after(servers: cluster.Cluster) -> AsyncIterator[None]:
    """A server that ends is started again, as `geoingest up` does it."""
    async with _again_and_again(lambda: servers.look(_SETTINGS)):
        yield


@contextlib.asynccontextmanager
async def _again_and_again(act: Callable[[], None]) -> AsyncIterator[None]:
    stop = asyncio.Event()

    async def repeat() -> None:
        while not stop.is_set():
            await asyncio.to_thread(act)
            await asyncio.sleep(_LOOK_SECONDS)

    async with asyncio.TaskGroup() as group:
        group.create_task(repeat())
        try:
            yield
        finally:
            stop.set()
