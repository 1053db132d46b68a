"""The database crashes under load: what was answered survives, and the service goes on by itself."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator

import pytest

from geoingest.access import provision
from geoingest.local import cluster
from tests import clusters, conftest, processes, senders
from tests.oracle import counted, judge, stored, told

# The promise is five seconds, from the moment that the database answers.
RESUME_SECONDS = 10.0
PHONES = 20
# Who does not wait for the disk waits for long: nothing else writes there by the way.
_LAZY = {
    **conftest.SERVER_SETTINGS,
    "wal_writer_delay": "10s",
    "wal_writer_flush_after": "1GB",
    "wal_buffers": "64MB",
    "bgwriter_lru_maxpages": "0",
    "autovacuum": "off",
}

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


@pytest.mark.parametrize(
    "signals",
    [
        pytest.param([signal.SIGQUIT] * 5, id="immediate restarts"),
        pytest.param([signal.SIGKILL] * 3, id="kill -9 of all its processes"),
    ],
)
async def test_a_crash_loses_nothing_that_was_answered(
    servers: cluster.Cluster,
    database: conftest.Database,
    school: list[provision.Enrolled],
    signals: list[signal.Signals],
) -> None:
    """Cut off mid-batch again and again: nothing answered is lost, and ingest resumes in time."""
    log = told.Log()

    async with processes.serving(database) as service:
        async with senders.posting(service.url, school, log):
            for number in signals:
                await clusters.crash(servers.primary, number)
                await clusters.start_again(servers)
                back_at = time.monotonic()
                await conftest.until(
                    lambda since=back_at: log.count(200, since=since) > PHONES,  # type: ignore[misc]
                    seconds=RESUME_SECONDS,
                )
        metrics = await service.metrics()

    # At least one batch under way each time.
    assert metrics['geoingest_copy_failures_total{reason="connection"}'] >= len(signals)
    assert log.cut == 0
    assert not log.unknown
    judge.check(log, database, counted.read(metrics))


async def test_the_check_finds_a_database_that_acknowledges_before_the_disk() -> None:
    """With synchronous_commit=off the same crash loses answered pings, and that is seen."""
    log = told.Log()

    with clusters.alone(_LAZY) as made:
        database = clusters.database(made)
        school = clusters.school(database, students=PHONES)
        database.administer("ALTER ROLE geoingest_ingest SET synchronous_commit = off")
        async with (
            processes.serving(database) as service,
            senders.posting(service.url, school, log),
        ):
            await clusters.crash(made.primary, signal.SIGKILL)
            await clusters.start_again(made, _LAZY)
        found = judge.find(log, stored.read(database))

    assert found.lost
