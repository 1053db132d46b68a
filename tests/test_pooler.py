"""Whatever a pooler does to connections, and a database behind it, costs no ping."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from geoingest import connections, db
from geoingest.access import provision
from geoingest.local import cluster
from tests import (
    clusters,
    conftest,
    poolers,
    processes,
    proxy,
    readers,
    senders,
    trees,
)
from tests.oracle import judge, stored, told

PHONES = 10
CROWD = 300
CUTS = 5
CUT_SECONDS = 2.0
RESUME_SECONDS = 15.0
_SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'geoingest'"
_CUT = 'geoingest_copy_failures_total{reason="connection"}'


@pytest.fixture
def primary() -> Iterator[cluster.Cluster]:
    """A server that this test may harm."""
    with clusters.alone() as made:
        yield made


@contextlib.asynccontextmanager
async def _crowd(url: str) -> AsyncIterator[None]:
    """Hundreds of other clients of the same pooler, each with a question each second."""

    async def one() -> None:
        while True:
            with contextlib.suppress(*db.DRIVER_ERRORS):
                connection = await connections.connect(url, pooled=True)
                try:
                    while True:
                        await connection.execute("SELECT pg_sleep(0.05)")
                        await asyncio.sleep(1)
                finally:
                    connection.terminate()
            await asyncio.sleep(random.uniform(1, 5))  # no secret

    tasks = [asyncio.create_task(one()) for _ in range(CROWD)]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@poolers.needed
@pytest.mark.faults
async def test_a_crowd_shares_few_connections_and_a_restart_costs_no_ping(
    primary: cluster.Cluster,
) -> None:
    """Behind PgBouncer the server dies twice under load: nothing answered is lost, and all goes on."""
    database = clusters.database(primary)
    school = clusters.school(database, students=PHONES)
    log = told.Log()

    with poolers.in_front_of(primary, cluster.PRIMARY_PORT) as bouncer:
        environment = _environment(database, bouncer.url(database.url))
        async with (
            _crowd(bouncer.url(database.url)),
            _serving(environment) as service,
            senders.posting(service.url, school, log),
        ):
            sessions = database.administer(_SESSIONS)
            for number in (signal.SIGQUIT, signal.SIGKILL):
                await clusters.crash(primary.primary, number)
                await clusters.start_again(primary)
                await _resumed(log)

    assert 0 < int(str(sessions[0][0])) <= poolers.POOL_SIZE
    assert log.cut == 0
    judge.check(log, database)


@poolers.needed
async def test_a_server_that_hangs_behind_a_pooler_is_given_up(primary: cluster.Cluster) -> None:
    """The pooler lets everybody in, and nothing is answered: whoever connects waits no longer than without it."""
    assert primary.primary.pid is not None
    with poolers.in_front_of(primary, cluster.PRIMARY_PORT) as bouncer:
        url = bouncer.url(primary.urls.owner)
        (await connections.connect(url, pooled=True)).terminate()
        with trees.standing_still(trees.tree(primary.primary.pid)):
            async with asyncio.timeout(db.CONNECT_SECONDS + 3):
                with pytest.raises(TimeoutError):
                    await connections.connect(url, pooled=True)


def _environment(database: conftest.Database, url: str, replica_url: str = "") -> dict[str, str]:
    return {
        **processes.ways(url, replica_url=replica_url, direct_url=database.url),
        "GEOINGEST_POOLER": "transaction",
    }


@contextlib.asynccontextmanager
async def _serving(
    environment: dict[str, str], *, module: str = "geoingest"
) -> AsyncIterator[processes.Service]:
    with processes.Service(environment, module=module) as service:
        await service.ready()
        yield service


async def _resumed(log: told.Log) -> None:
    now = time.monotonic()
    await conftest.until(lambda: log.count(200, since=now) > PHONES, seconds=RESUME_SECONDS)


@contextlib.asynccontextmanager
async def _cut_again_and_again(
    database: conftest.Database, school: list[provision.Enrolled], log: told.Log, module: str
) -> AsyncIterator[processes.Service]:
    """Phones and a family on a service whose connections to both servers are all cut every two seconds."""
    stop = asyncio.Event()
    async with (
        proxy.in_front_of(database.url) as first,
        proxy.in_front_of(database.replica_url) as second,
        _serving(_environment(database, first.url, second.url), module=module) as service,
        senders.posting(service.url, school[:-1], log),
        asyncio.TaskGroup() as group,
        first.cutting(every_seconds=CUT_SECONDS),
        second.cutting(every_seconds=CUT_SECONDS),
    ):
        family = readers.Family(school[-1], log)
        group.create_task(family.run(service.url, stop))
        try:
            yield service
        finally:
            stop.set()


@pytest.mark.faults
async def test_connections_cut_again_and_again_cost_no_ping(
    database: conftest.Database, school: list[provision.Enrolled]
) -> None:
    """As by a serverless database that wakes up: nobody sees anything but 200 and 503, and nothing is lost."""
    log = told.Log()

    async with _cut_again_and_again(database, school, log, "geoingest") as service:
        async with asyncio.timeout(60):
            # Both writers are cut each time.
            while (await service.metrics())[_CUT] < 2 * CUTS:
                await _resumed(log)

    assert log.cut == 0
    judge.check(log, database)


@pytest.mark.faults
async def test_the_check_finds_a_service_that_takes_a_cut_for_a_commit(
    database: conftest.Database, school: list[provision.Enrolled]
) -> None:
    """A build that answers "stored" whatever became of a batch is found out."""
    log = told.Log()

    async with _cut_again_and_again(database, school, log, "tests.broken.assumes_stored"):
        async with asyncio.timeout(60):
            while not (lost := judge.find(log, stored.read(database)).lost):
                await asyncio.sleep(0.2)

    assert lost
