"""A promotion may be another history: neither positions nor transactions of the old one go on in it."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Iterator

import pytest
from typing_extensions import override

from geoingest import config, connections, db
from geoingest.access import credentials, provision, tokens
from geoingest.local import cluster
from geoingest.tracking import lag
from tests import clusters, conftest, guardians, pairs, trees

pytestmark = pytest.mark.faults

RETURN_SECONDS = 15.0
OLD, NEW = cluster.PRIMARY_PORT, cluster.REPLICA_PORT


@pytest.fixture
def pair() -> Iterator[pairs.Pair]:
    """Two servers that this test may swap."""
    with pairs.running() as made:
        yield made


async def _diverged(pair: pairs.Pair) -> None:
    """The replica is promoted short of what the primary had, which then follows in vain."""
    with trees.standing_still(pairs.processes(pair.servers.primary, "walsender")):
        more = "SELECT pg_logical_emit_message(true, '', repeat('x', 4000000))"
        await asyncio.to_thread(pair.query, OLD, more)
        await clusters.crash(pair.servers.primary, signal.SIGKILL)
    await asyncio.to_thread(pair.promote)
    await asyncio.to_thread(pair.demote)


async def _ask_again_and_again(
    running: conftest.Running, student: provision.Enrolled, *, seconds: float
) -> AsyncIterator[guardians.Answer]:
    """What a guardian is answered about a ping that only the new primary has."""
    headers = {"Authorization": f"Bearer {student.device_token}"}
    ping = {"timestamp": guardians.NOW.isoformat(), "latitude": 52.5, "longitude": 13.4}
    async with running.client.post("/v1/pings", json=ping, headers=headers) as got:
        assert got.status == 200
    guardian = guardians.Guardian(running, student.viewer_token)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield await guardian.ask(f"/v1/students/{student.student_id}/location")
        await asyncio.sleep(0.02)


class _Blind(lag.Ring):
    """A ring that does not compare the replica's position with the primary's later one."""

    @override
    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, False if name == "is_astray" else value)


async def test_a_standby_with_another_history_is_not_asked(
    pair: pairs.Pair, start: conftest.Start
) -> None:
    """It has replayed more than the new primary wrote, which looks like no lag: an answer would be stale."""
    (student,) = pairs.school(pair, 1)
    await _diverged(pair)
    running = await start(config.Config(**pair.settings))

    answers = [one async for one in _ask_again_and_again(running, student, seconds=3)]
    running.service.replica._ring = _Blind()
    broken = _ask_again_and_again(running, student, seconds=RETURN_SECONDS)
    stale = await anext((one async for one in broken if one.status == 404), None)

    assert {(one.status, one.body["source"]) for one in answers} == {(200, "primary")}
    assert stale


async def test_a_promotion_is_another_history_for_the_tokens_too(pair: pairs.Pair) -> None:
    """Numbers of transactions that were lost stand for other changes now: a revoked token does not slip through."""
    school = pairs.school(pair, 2)
    pool = await connections.primary_pool(pair.url, size=1, timeout_seconds=5)
    polls = [credentials.Credentials(pool), credentials.Credentials(pool)]
    with trees.standing_still(pairs.processes(pair.servers.primary, "walsender")):
        pair.use_numbers(OLD, 200)
        for one in polls:
            await one.refresh()
        await clusters.crash(pair.servers.primary, signal.SIGKILL)
    await asyncio.to_thread(pair.promote)
    with db.direct(pair.url) as connection:
        provision.revoke_device(connection, school[0].device_id)
    pair.use_numbers(NEW, 400)
    seen = polls[1]._seen
    assert seen is not None
    # The second one is told of no other timeline.
    polls[1]._seen = seen._replace(timeline="00000002")

    for one in polls:
        await one.refresh()
    pool.terminate()

    revoked, other = (tokens.digest(one.device_token) for one in school)
    assert [one.sender(other) is None for one in polls] == [False, False]
    assert [one.sender(revoked) is None for one in polls] == [True, False]
