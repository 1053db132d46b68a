"""The database stops, dies or hangs: refused at once, bounded memory, taken up again by itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import aiohttp
import pytest

from geoingest.access import provision
from geoingest.local import cluster
from tests import clusters, conftest, processes, senders, trees
from tests.oracle import counted, judge, told

# The promise is one second; a busy machine is given two.
ANSWER_SECONDS = 2.0
# The promise is five seconds, from the moment that the database answers.
RESUME_SECONDS = 10.0
GROWTH_MIB = 64.0
PHONES = 20


@pytest.fixture(scope="module")
def servers() -> Iterator[cluster.Cluster]:
    """A primary that this file may harm."""
    with clusters.alone() as made:
        yield made


@pytest.fixture
def database(servers: cluster.Cluster) -> conftest.Database:
    """Its database."""
    return clusters.emptied(servers)


@pytest.fixture
def school(database: conftest.Database) -> list[provision.Enrolled]:
    """A student for each phone."""
    return clusters.school(database, students=PHONES)


def _all(servers: cluster.Cluster) -> set[trees.Running]:
    assert servers.primary.pid is not None
    return trees.tree(servers.primary.pid)


async def _resumed(log: told.Log) -> None:
    back_at = time.monotonic()
    await conftest.until(lambda: log.count(200, since=back_at) > PHONES, seconds=RESUME_SECONDS)


async def test_a_stopped_database_is_answered_503_at_once_and_ingest_resumes(
    servers: cluster.Cluster, database: conftest.Database, school: list[provision.Enrolled]
) -> None:
    """While it is away all get 503 with Retry-After in no time and memory stays; then all goes on."""
    log = told.Log()

    async with processes.serving(database) as service:
        async with senders.posting(service.url, school, log, sizes=(100,)):
            before_mib = service.rss_mib()
            await asyncio.to_thread(servers.primary.stop)
            away_at = time.monotonic()
            await conftest.until(lambda: log.count(503, since=away_at) >= 1500, seconds=30)
            await _reads_are_refused(service, school[0])
            grown_mib = service.rss_mib() - before_mib
            returns_at = time.monotonic()
            await clusters.start_again(servers)
            await _resumed(log)
        counts = counted.read(await service.metrics())

    while_away = [one for one in log.answers if away_at <= one.sent_at < returns_at]
    assert all(one.status == 503 or one.answered_at > returns_at for one in while_away)
    assert max(one.answered_at - one.sent_at for one in while_away) < ANSWER_SECONDS
    assert log.cut == 0
    assert grown_mib < GROWTH_MIB
    judge.check(log, database, counts)


async def _reads_are_refused(service: processes.Service, student: provision.Enrolled) -> None:
    headers = {"Authorization": f"Bearer {student.viewer_token}"}
    path = f"{service.url}/v1/students/{student.student_id}/location"
    async with (
        asyncio.timeout(ANSWER_SECONDS),
        aiohttp.ClientSession(headers=headers) as session,
        session.get(path) as got,
    ):
        assert (got.status, "Retry-After" in got.headers) == (503, True)


async def test_a_hanging_database_is_answered_503_and_ingest_resumes(
    servers: cluster.Cluster, database: conftest.Database, school: list[provision.Enrolled]
) -> None:
    """Every server process stands still: nobody waits for long; then all goes on."""
    log = told.Log()
    hurry = {"GEOINGEST_WRITE_TIMEOUT_SECONDS": "1"}

    async with processes.serving(database, **hurry) as service:
        async with senders.posting(service.url, school, log):
            with trees.standing_still(_all(servers)):
                hung_at = time.monotonic()
                await conftest.until(lambda: log.count(503, since=hung_at) >= 500, seconds=30)
            await _resumed(log)
        counts = counted.read(await service.metrics())

    # The write's time and the one for a new connection.
    assert max(one.answered_at - one.sent_at for one in log.answers) < 1.7 + ANSWER_SECONDS
    assert log.cut == 0
    judge.check(log, database, counts)


async def test_memory_is_bounded_when_the_database_hangs(
    servers: cluster.Cluster, database: conftest.Database, school: list[provision.Enrolled]
) -> None:
    """600,000 pings come while nothing is written: a part waits, the rest is refused at once."""
    log = told.Log()

    async with (
        processes.serving(database) as service,
        aiohttp.ClientSession(service.url, connector=aiohttp.TCPConnector(limit=0)) as session,
    ):
        await senders.Sender(school[0], log).post(session)
        before_mib = service.rss_mib()
        with trees.standing_still(_all(servers)) as go_on:
            async with asyncio.TaskGroup() as group:
                for number in range(600):
                    phone = senders.Sender(school[number % PHONES], log, sizes=(1000,))
                    group.create_task(phone.post(session))
                    await asyncio.sleep(0.002)
                await conftest.until(lambda: log.count(503) >= 400, seconds=30)
                grown_mib = service.rss_mib() - before_mib
                go_on()

    assert grown_mib < GROWTH_MIB
    assert log.cut == 0
    judge.check(log, database)


async def test_a_service_may_start_before_its_database(
    servers: cluster.Cluster, database: conftest.Database, school: list[provision.Enrolled]
) -> None:
    """It lives, says that it is not ready, refuses with 503, and is ready once the database is."""
    await asyncio.to_thread(servers.primary.stop)
    log = told.Log()

    with processes.Service(processes.ways(database.url)) as service:
        try:
            await service.says("serving")
            async with aiohttp.ClientSession(service.url) as session:
                await senders.Sender(school[0], log).post(session)
            statuses = [await service.status(path) for path in ("/livez", "/readyz")]
        finally:
            await clusters.start_again(servers)
        await service.ready(seconds=RESUME_SECONDS)
        async with aiohttp.ClientSession(service.url) as session:
            await senders.Sender(school[0], log).post(session)

    assert statuses == [200, 503]
    assert [one.status for one in log.answers] == [503, 200]
