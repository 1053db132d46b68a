"""A question needs the replica for its answer and the primary for its record: while that is away, 503."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest

from geoingest.access import provision
from geoingest.local import cluster
from tests import conftest, guardians, loads, pairs, trees
from tests.test_database_away import ANSWER_SECONDS

pytestmark = pytest.mark.faults

WRITE_SECONDS = 1.0
_STANDBYS = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'quorum'"
_END_WAIT = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"


@pytest.fixture
def pair() -> Iterator[pairs.Pair]:
    """Two servers that this test may harm."""
    with pairs.running() as made:
        yield made


@pytest.fixture
def school(pair: pairs.Pair) -> list[provision.Enrolled]:
    """Two students, known to both servers."""
    return pairs.school(pair, 2)


@pytest.fixture
async def running(
    pair: pairs.Pair, school: list[provision.Enrolled], start: conftest.Start
) -> conftest.Running:
    """A service that reads from the replica."""
    settings = pair.database(cluster.PRIMARY_PORT).settings(
        database_replica_url=pair.servers.urls.replica,
        write_timeout_seconds=WRITE_SECONDS,
    )
    made = await start(settings)
    await conftest.until(lambda: made.service.replica.in_use, seconds=loads.RETURN_SECONDS)
    return made


async def _asked(guardian: guardians.Guardian, path: str) -> tuple[guardians.Answer, float]:
    """An answer, and how many seconds it took."""
    started = time.monotonic()
    answer = await guardian.ask(path)
    return answer, time.monotonic() - started


async def test_a_stopped_primary_is_answered_503_at_once(
    pair: pairs.Pair, running: conftest.Running, school: list[provision.Enrolled]
) -> None:
    """Though the replica knows the answer, and whoever asks, for only the primary knows; then it goes on by itself."""
    guardian = guardians.Guardian(running, school[0].viewer_token)
    path = f"/v1/students/{school[0].student_id}/track"
    foreign = f"/v1/students/{school[1].student_id}/track"
    database = pair.database(cluster.PRIMARY_PORT)

    before = await guardian.ask(path)
    await asyncio.to_thread(pair.servers.primary.stop)
    while_away = [await _asked(guardian, path) for _ in range(20)]
    strangers = await guardian.ask(foreign)
    nobodys = await guardians.Guardian(running, "guess").ask(path)
    await asyncio.to_thread(
        pair.servers.primary.start,
        conftest.SERVER_SETTINGS,
        pair.servers.url(cluster.PRIMARY_PORT, user="postgres"),
    )
    back_at = time.monotonic()
    async with asyncio.timeout(loads.RESUME_SECONDS):
        while (after := await guardian.ask(path)).status != 200:
            await asyncio.sleep(0.05)

    assert (before.status, before.body["source"]) == (200, "replica")
    assert {one.status for one, _ in while_away} == {503}
    assert all("Retry-After" in one.headers for one, _ in while_away)
    assert max(seconds for _, seconds in while_away) < ANSWER_SECONDS
    # Once the loss is known, nobody waits.
    assert while_away[-1][1] < ANSWER_SECONDS / 4
    assert while_away[-1][0].body["reason"] == "database_unavailable"
    assert (strangers.status, nobodys.status) == (503, 503)
    assert time.monotonic() - back_at < loads.RESUME_SECONDS
    assert after.status == 200
    assert database.query("SELECT count(*) FROM lookups") == [(2,)]


async def test_without_a_synchronous_standby_nothing_is_shown(
    pair: pairs.Pair, running: conftest.Running, school: list[provision.Enrolled]
) -> None:
    """A record that is on one disk only is none yet, also where an operator ends the wait; then it goes on."""
    pair.wait_for_standby()
    guardian = guardians.Guardian(running, school[0].viewer_token)
    path = f"/v1/students/{school[0].student_id}/track"
    await conftest.until(lambda: pair.query(cluster.PRIMARY_PORT, _STANDBYS) == [(1,)])
    before = await guardian.ask(path)

    await asyncio.to_thread(pair.servers.replica.stop)
    timed_out, took_seconds = await _asked(guardian, path)
    asked = asyncio.create_task(guardian.ask(path))
    await conftest.until(lambda: pair.query(cluster.PRIMARY_PORT, _END_WAIT) == [(True,)])
    cancelled = await asked
    await asyncio.to_thread(pair.servers.start_replica, conftest.SERVER_SETTINGS)
    async with asyncio.timeout(loads.RESUME_SECONDS):
        while (after := await guardian.ask(path)).status != 200:
            await asyncio.sleep(0.05)

    assert (before.status, timed_out.status, cancelled.status, after.status) == (200, 503, 503, 200)
    assert {one.body["reason"] for one in (timed_out, cancelled)} == {"not_recorded"}
    assert WRITE_SECONDS <= took_seconds < WRITE_SECONDS + ANSWER_SECONDS


async def test_a_primary_that_hangs_keeps_nobody_longer_than_one_write(
    pair: pairs.Pair, running: conftest.Running, school: list[provision.Enrolled]
) -> None:
    """The first are refused when their write has had its time, later ones at once; then it goes on by itself."""
    guardian = guardians.Guardian(running, school[0].viewer_token)
    path = f"/v1/students/{school[0].student_id}/track"
    # From here on it is known whose the token is.
    before = await guardian.ask(path)

    with trees.standing_still(pairs.processes(pair.servers.primary)):
        first = await asyncio.gather(*(_asked(guardian, path) for _ in range(10)))
        async with asyncio.timeout(10):
            while (await _asked(guardian, path))[1] > ANSWER_SECONDS / 4:
                pass
        later = [await _asked(guardian, path) for _ in range(10)]
    async with asyncio.timeout(loads.RESUME_SECONDS):
        while (after := await guardian.ask(path)).status != 200:
            await asyncio.sleep(0.05)

    assert before.status == 200
    assert {one.status for one, _ in [*first, *later]} == {503}
    assert all("Retry-After" in one.headers for one, _ in [*first, *later])
    # The write's time, the one for the server to hear of it, and the one for a new connection.
    assert max(seconds for _, seconds in first) < WRITE_SECONDS + 0.5 + 0.7 + ANSWER_SECONDS
    assert max(seconds for _, seconds in later) < ANSWER_SECONDS
    assert after.status == 200
