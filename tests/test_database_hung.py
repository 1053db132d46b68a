"""The database hangs for a minute under a steady load: bounded memory, early refusals, quick return."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import NamedTuple

import aiohttp
import pytest

from geoingest.access import provision
from geoingest.local import cluster
from tests import clusters, conftest, processes, senders, trees
from tests.oracle import counted, judge, told

HANG_SECONDS = 60.0
# The promises: one second from the queue's bound, which is one second old; and ten.
REFUSAL_SECONDS = 1.0 + 1.0
RECOVERY_SECONDS = 10.0
GROWTH_MIB = 64.0
# On a busy machine.
SLACK_SECONDS = 1.0
# 1,000 pings a second.
_PINGS = 20
_EVERY_SECONDS = 0.02
PHONES = 20
# As a service would be that has none; the first to notice is then the poll of the tokens.
_NO_LIMITS = {
    "GEOINGEST_MAX_QUEUE_PINGS": "1000000000",
    "GEOINGEST_MAX_QUEUE_BYTES": "1000000000000",
    "GEOINGEST_MAX_QUEUE_AGE_SECONDS": "1000",
    "GEOINGEST_BUSY_WAIT_SECONDS": "1000",
    "GEOINGEST_WRITE_TIMEOUT_SECONDS": "1000",
}
_BROKEN_HANG_SECONDS = 4.0

pytestmark = pytest.mark.faults


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


class Hang(NamedTuple):
    """What was seen of one: memory, and the moments by time.monotonic()."""

    began_at: float
    ended_at: float
    grown_mib: float

    def refusals(self, log: told.Log) -> list[told.Answer]:
        """The 503s of its time, the earliest answer first."""
        found = [
            one
            for one in log.answers
            if one.status == 503 and self.began_at <= one.answered_at < self.ended_at
        ]
        return sorted(found, key=lambda one: one.answered_at)

    def refuses_in_time(self, log: told.Log) -> bool:
        """The queue's bound is felt when it should be, and from then on nobody waits."""
        refusals = self.refusals(log)
        if not refusals:
            return False
        first_at = refusals[0].answered_at
        later = [one for one in refusals if one.sent_at > first_at]
        return first_at - self.began_at < REFUSAL_SECONDS + SLACK_SECONDS and all(
            one.answered_at - one.sent_at < REFUSAL_SECONDS - 1.0 + SLACK_SECONDS for one in later
        )


@contextlib.asynccontextmanager
async def _offering(
    service: processes.Service, school: Sequence[provision.Enrolled], log: told.Log
) -> AsyncIterator[None]:
    """Requests at a steady rate for as long as the block lasts, whatever becomes of earlier ones."""
    students = itertools.cycle(school)
    connector = aiohttp.TCPConnector(limit=0)

    async def offer(session: aiohttp.ClientSession, group: asyncio.TaskGroup) -> None:
        due_at = time.monotonic()
        while True:
            phone = senders.Sender(next(students), log, sizes=(_PINGS,))
            group.create_task(phone.post(session))
            due_at += _EVERY_SECONDS
            await asyncio.sleep(due_at - time.monotonic())

    async with (
        aiohttp.ClientSession(service.url, connector=connector) as session,
        asyncio.TaskGroup() as group,
    ):
        offering = group.create_task(offer(session, group))
        try:
            await conftest.until(lambda: log.count(200) >= 100)
            yield
        finally:
            offering.cancel()


async def _hang(servers: cluster.Cluster, service: processes.Service, seconds: float) -> Hang:
    assert servers.primary.pid is not None
    before_mib = service.rss_mib()
    with trees.standing_still(trees.tree(servers.primary.pid)):
        began_at = time.monotonic()
        await asyncio.sleep(seconds)
        grown_mib = service.rss_mib() - before_mib
    return Hang(began_at, time.monotonic(), grown_mib)


async def test_a_minute_of_hanging_costs_refusals_and_nothing_else(
    servers: cluster.Cluster, database: conftest.Database, school: list[provision.Enrolled]
) -> None:
    """At 1,000 pings a second: 503 as soon as the queue's bound says so, and 200 soon after."""
    log = told.Log()

    async with processes.serving(database) as service:
        async with _offering(service, school, log):
            hang = await _hang(servers, service, HANG_SECONDS)
            await conftest.until(
                lambda: log.count(200, since=hang.ended_at) >= 100, seconds=RECOVERY_SECONDS
            )
        counts = counted.read(await service.metrics())

    assert hang.refuses_in_time(log)
    assert len(hang.refusals(log)) > 0.9 * HANG_SECONDS / _EVERY_SECONDS
    assert hang.grown_mib < GROWTH_MIB
    assert log.cut == 0
    judge.check(log, database, counts)


async def test_the_check_finds_a_queue_without_limits(
    servers: cluster.Cluster, database: conftest.Database, school: list[provision.Enrolled]
) -> None:
    """Where everything may wait, nobody is refused in time."""
    log = told.Log()

    async with (
        processes.serving(database, **_NO_LIMITS) as service,
        _offering(service, school, log),
    ):
        hang = await _hang(servers, service, _BROKEN_HANG_SECONDS)

    assert not hang.refuses_in_time(log)
