"""The network between service and database fails at the worst moments; doubts resolve by themselves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from geoingest.access import provision
from tests import conftest, processes, proxy, senders
from tests.oracle import counted, judge, stored, told

# One in so many, and so often.
EVERY = 5
TIMES = 30
# A write is up to six turns.
LATENCY_SECONDS = 0.05
CUT_EVERY_SECONDS = 0.3
HOLE_SECONDS = 4.0
WRITE_TIMEOUT_SECONDS = 1.0
# The write's time and the one for a new connection; on a busy machine.
ANSWER_SECONDS = WRITE_TIMEOUT_SECONDS + 0.7 + 2.0
RESUME_SECONDS = 10.0
FAULTS = ["cut_answers", "cut_copies"]

pytestmark = pytest.mark.faults


@pytest.fixture
async def between(database: conftest.Database) -> AsyncIterator[proxy.Proxy]:
    """What stands before this test's database."""
    async with proxy.in_front_of(database.url) as one:
        yield one


def _through(between: proxy.Proxy) -> dict[str, str]:
    """The settings of a service that reaches its primary only so, and does not wait for long."""
    return {
        **processes.ways(between.url),
        "GEOINGEST_WRITE_TIMEOUT_SECONDS": str(WRITE_TIMEOUT_SECONDS),
    }


def _done(between: proxy.Proxy) -> int:
    return between.counts.answers_swallowed + between.counts.copies_cut


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_lost_connection_loses_nothing_and_doubles_nothing(
    database: conftest.Database,
    between: proxy.Proxy,
    school: list[provision.Enrolled],
    fault: str,
) -> None:
    """After the commit or just before it: every ping ends ok, and is there once."""
    log = told.Log()

    async with processes.serving(database, **_through(between)) as service:
        async with senders.posting(service.url, school, log):
            setattr(between, fault, EVERY)
            await conftest.until(lambda: _done(between) >= TIMES, seconds=60)
            setattr(between, fault, 0)
        counts = counted.read(await service.metrics())

    assert log.cut == 0
    assert not log.unknown
    # What was there already is told as that.
    assert counts.duplicate > 0 or fault == "cut_copies"
    judge.check(log, database, counts)


async def test_the_check_finds_a_service_that_rejects_in_doubt(
    database: conftest.Database, between: proxy.Proxy, school: list[provision.Enrolled]
) -> None:
    """Its phones throw away what they were told was wrong, though it is stored."""
    found = await _broken("rejects_in_doubt", "cut_answers", database, between, school)

    assert found.rejected_yet_stored
    assert found.wrongly_rejected


async def test_the_check_finds_a_service_that_assumes_the_best(
    database: conftest.Database, between: proxy.Proxy, school: list[provision.Enrolled]
) -> None:
    """Its phones throw away what was never committed."""
    found = await _broken("assumes_stored", "cut_copies", database, between, school)

    assert found.lost


async def _broken(
    module: str,
    fault: str,
    database: conftest.Database,
    between: proxy.Proxy,
    school: list[provision.Enrolled],
) -> judge.Findings:
    """What the same judge says of this build."""
    log = told.Log()
    async with (
        processes.serving(
            database, module=f"tests.broken.{module}", **_through(between)
        ) as service,
        senders.posting(service.url, school, log),
    ):
        setattr(between, fault, EVERY)
        await conftest.until(lambda: _done(between) >= 1, seconds=30)
        setattr(between, fault, 0)
    return judge.find(log, stored.read(database))


async def test_a_database_that_drops_all_connections_again_and_again(
    database: conftest.Database, between: proxy.Proxy, school: list[provision.Enrolled]
) -> None:
    """As a serverless one does: each time all goes on at once, and nothing is lost."""
    log = told.Log()

    async with processes.serving(database, **_through(between)) as service:
        async with (
            senders.posting(service.url, school, log),
            between.cutting(every_seconds=CUT_EVERY_SECONDS),
        ):
            for _ in range(5):
                since = time.monotonic()
                await conftest.until(
                    lambda since=since: log.count(200, since=since) > len(school),  # type: ignore[misc]
                    seconds=RESUME_SECONDS,
                )
                await asyncio.sleep(CUT_EVERY_SECONDS)
        counts = counted.read(await service.metrics())

    assert between.counts.cut > 5
    assert log.cut == 0
    judge.check(log, database, counts)


async def test_a_slow_network_is_waited_for_and_too_slow_a_one_is_not(
    database: conftest.Database, between: proxy.Proxy, school: list[provision.Enrolled]
) -> None:
    """A long way to the database costs its time; beyond the write's limit it is 503, until it ends."""
    log = told.Log()

    async with processes.serving(database, **_through(between)) as service:
        async with senders.posting(service.url, school, log):
            between.latency_seconds = LATENCY_SECONDS
            slow_at = time.monotonic()
            await conftest.until(
                lambda: log.count(200, since=slow_at) > 3 * len(school), seconds=30
            )
            failed_when_slow = log.said["write_failed"]
            between.latency_seconds = 2 * WRITE_TIMEOUT_SECONDS
            await conftest.until(lambda: log.count(503) > 10 * len(school), seconds=30)
            between.latency_seconds = 0.0
            await _resumes(log, len(school))
        counts = counted.read(await service.metrics())

    assert failed_when_slow == 0
    assert _slowest_seconds(log) < ANSWER_SECONDS
    judge.check(log, database, counts)


async def test_a_network_that_swallows_everything_is_answered_503(
    database: conftest.Database, between: proxy.Proxy, school: list[provision.Enrolled]
) -> None:
    """No connection ends and no packet arrives: nobody waits beyond the limits; then all goes on."""
    log = told.Log()

    async with processes.serving(database, **_through(between)) as service:
        async with senders.posting(service.url, school, log):
            with between.black_hole():
                hole_at = time.monotonic()
                await asyncio.sleep(HOLE_SECONDS)
                refused = log.count(503, since=hole_at)
            await _resumes(log, len(school))
        counts = counted.read(await service.metrics())

    assert refused > 10 * len(school)
    assert _slowest_seconds(log) < ANSWER_SECONDS
    assert log.cut == 0
    judge.check(log, database, counts)


async def _resumes(log: told.Log, phones: int) -> None:
    since = time.monotonic()
    await conftest.until(lambda: log.count(200, since=since) > phones, seconds=RESUME_SECONDS)


def _slowest_seconds(log: told.Log) -> float:
    return max(one.answered_at - one.sent_at for one in log.answers)
