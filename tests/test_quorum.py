"""A synchronous standby: what was answered survives the primary, and nothing is answered without one."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator, Iterator, Set

import asyncpg
import pytest
from typing_extensions import override

from geoingest import connections, db, errors, standby
from geoingest.ingest import content, rows, submission, writer
from geoingest.local import cluster
from tests import clusters, conftest, pairs, processes, senders, test_ping, trees
from tests.oracle import judge, stored, told

pytestmark = pytest.mark.faults

PHONES = 10
OLD, NEW = cluster.PRIMARY_PORT, cluster.REPLICA_PORT
END = "SELECT end(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"


@pytest.fixture
def pair() -> Iterator[pairs.Pair]:
    """A primary and the replica that outlives it."""
    with pairs.running() as made:
        yield made


@contextlib.asynccontextmanager
async def _load(
    pair: pairs.Pair, log: told.Log, *, module: str = "geoingest"
) -> AsyncIterator[processes.Service]:
    """Phones that post for as long as the block lasts."""
    school = pairs.school(pair, PHONES)
    stop = asyncio.Event()
    hurry = {"GEOINGEST_WRITE_TIMEOUT_SECONDS": "1"}
    with processes.Service({**pair.environment, **hurry}, module=module) as service:
        await service.ready()
        async with asyncio.TaskGroup() as group:
            for student in school:
                group.create_task(senders.Sender(student, log).run(service.url, stop))
            try:
                yield service
            finally:
                stop.set()


async def _stored(log: told.Log, requests: int) -> None:
    """Returns once so many more were answered with 200."""
    now = time.monotonic()
    await conftest.until(lambda: log.count(200, since=now) >= requests, seconds=30)


async def _primary_is_lost(pair: pairs.Pair) -> None:
    """Postmaster and children are killed, and the replica is promoted."""
    await clusters.crash(pair.servers.primary, signal.SIGKILL)
    await asyncio.to_thread(pair.promote)


@pytest.mark.parametrize("requests", [100, 250, 400])
async def test_nothing_answered_is_lost_with_the_primary(pair: pairs.Pair, requests: int) -> None:
    """Killed under load at any moment: the promoted replica has every ping that was answered, once."""
    pair.wait_for_standby()
    log = told.Log()

    async with _load(pair, log) as service:
        await _stored(log, requests)
        await _primary_is_lost(pair)
        await _stored(log, PHONES)
        cut = (await service.metrics())['geoingest_copy_failures_total{reason="connection"}']

    # A batch was under way.
    assert cut
    judge.check(log, pair.database(NEW))


async def test_without_it_the_check_finds_what_was_lost(
    pair: pairs.Pair, capsys: pytest.CaptureFixture[str]
) -> None:
    """Asynchronous, and nothing is sent any more before the kill: what was answered since is gone."""
    log = told.Log()

    async with _load(pair, log):
        await _stored(log, 50)
        with trees.standing_still(pairs.processes(pair.servers.primary, "walsender")):
            await _stored(log, 100)
            await _primary_is_lost(pair)

    lost = _lost(pair, log)
    with capsys.disabled():
        print(f"\nasynchronous: {len(lost)} of {len(log.ok)} acknowledged pings lost")  # noqa: T201
    assert lost


def _lost(pair: pairs.Pair, log: told.Log) -> Set[told.Key]:
    return judge.find(log, stored.read(pair.database(NEW))).lost


async def _is_alone(pair: pairs.Pair, log: told.Log) -> None:
    """The standby is away while phones come again and again, with pings the primary has by now."""
    await asyncio.to_thread(pair.servers.replica.stop)
    alone_at = time.monotonic()
    # Until each has come at least three times, each time after a wait in vain.
    await conftest.until(lambda: log.count(503, since=alone_at) > 4 * PHONES, seconds=60)


async def test_without_a_standby_nothing_is_answered(pair: pairs.Pair) -> None:
    """503 for new pings and for those of before, no connection is left waiting, and then it goes on."""
    pair.wait_for_standby()
    log = told.Log()

    async with _load(pair, log):
        await _stored(log, 50)
        await _is_alone(pair, log)
        # What was under way when it left may have been confirmed in time.
        asked_at = time.monotonic()
        await conftest.until(lambda: log.count(503, since=asked_at) > 4 * PHONES, seconds=60)
        answered = log.count(200, since=asked_at)
        waiting = pair.query(OLD, WAITING)
        await asyncio.to_thread(pair.servers.start_replica, conftest.SERVER_SETTINGS)
        await _stored(log, PHONES)

    assert answered == 0
    # One for each lane, and one that is just being cancelled.
    assert int(str(waiting[0][0])) <= 4
    judge.check(log, pair.database(OLD))


async def test_the_check_finds_duplicates_that_no_standby_has(pair: pairs.Pair) -> None:
    """A build that takes the primary's word for a duplicate answers 200, and the promoted replica lacks it."""
    pair.wait_for_standby()
    log = told.Log()

    async with _load(pair, log, module="tests.broken.unconfirmed"):
        await _stored(log, 50)
        await _is_alone(pair, log)
        await clusters.crash(pair.servers.primary, signal.SIGKILL)

    pair.servers.replica.start(conftest.SERVER_SETTINGS, pair.servers.url(NEW, user="postgres"))
    await asyncio.to_thread(pair.promote)
    assert _lost(pair, log)


class _Deaf(standby.Watch):
    """Does not hear what the server says beside the answer."""

    @override
    def listen(self, connection: asyncpg.Connection[db.Record]) -> None:
        return None


def _request(*pings: rows.Row, is_rejected: bool = False) -> submission.Submission:
    rejected = [content.Rejected(0, "too_old", b"{}", 7, test_ping.NOW_US)] if is_rejected else []
    decoded = content.Decoded(len(pings) + len(rejected), list(pings), rejected)
    future = asyncio.get_running_loop().create_future()
    return submission.Submission(decoded, future, size_bytes=1, queued_at=0.0)


async def _wait_ended_by(
    pair: pairs.Pair, lane: writer.Writer, request: submission.Submission, *, function: str
) -> submission.Outcome:
    """Writes, and an operator ends the wait for the standby."""
    await lane.connect()
    try:
        writing = asyncio.create_task(lane.write([request]))
        await conftest.until(lambda: pair.query(OLD, WAITING) == [(1,)])
        pair.query(OLD, END.replace("end", function))
        return await writing
    finally:
        lane.close()


async def test_a_wait_that_somebody_ended_confirms_nothing(
    pair: pairs.Pair, monkeypatch: pytest.MonkeyPatch, subtests: pytest.Subtests
) -> None:
    """Cancelled, the COMMIT succeeds with a warning; terminated, it says nothing: in doubt either way."""

    async def connect() -> asyncpg.Connection[db.Record]:
        return await connections.connect(pair.url)

    pair.wait_for_standby()
    await asyncio.to_thread(pair.servers.replica.stop)
    first, second, third, fourth = (test_ping.encoded(number) for number in range(4))
    cases = {
        "by copy": (_request(first), "pg_cancel_backend"),
        "as a duplicate": (_request(first), "pg_cancel_backend"),
        "with a rejected one": (_request(second, is_rejected=True), "pg_cancel_backend"),
        "terminated": (_request(third), "pg_terminate_backend"),
    }

    for name, (request, function) in cases.items():
        lane = writer.Writer(connect, timeout_seconds=3)
        with subtests.test(name), pytest.raises(errors.WriteFailedError):
            await _wait_ended_by(pair, lane, request, function=function)
    monkeypatch.setattr(standby, "Watch", _Deaf)
    deaf = writer.Writer(connect, timeout_seconds=3)
    believed = await _wait_ended_by(pair, deaf, _request(fourth), function="pg_cancel_backend")

    assert believed == submission.Outcome()
    # All are here; whether anywhere else, nobody knows.
    assert pair.query(OLD, "SELECT count(*) FROM geolocation_data") == [(4,)]
