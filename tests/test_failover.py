"""Primary and replica swap their roles under load: nobody tells the service, and it finds out."""

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
from tests import clusters, conftest, guardians, loads, pairs, processes, trees
from tests.oracle import judge

pytestmark = pytest.mark.faults

OLD, NEW = cluster.PRIMARY_PORT, cluster.REPLICA_PORT


@pytest.fixture
def pair() -> Iterator[pairs.Pair]:
    """Two servers that this test may swap."""
    with pairs.running() as made:
        yield made


async def test_roles_are_swapped_without_a_human(pair: pairs.Pair) -> None:
    """Stopped cleanly, the replica promoted, the old primary its standby: nothing answered is lost."""
    async with loads.on(pair) as load:
        await asyncio.to_thread(pair.servers.primary.stop)
        await asyncio.to_thread(pair.promote)
        await load.writes(seconds=loads.RESUME_SECONDS)
        await load.reads_from("primary", seconds=loads.RESUME_SECONDS)
        resumed_at = time.monotonic()
        failures = await _failures(load.service)
        await asyncio.to_thread(pair.demote)
        await load.reads_from("replica", seconds=loads.RETURN_SECONDS)
        back_at = time.monotonic()
        ready = await load.service.status("/readyz")
        # The new replica is worth as much as the old one was.
        pair.query(OLD, "SELECT pg_wal_replay_pause()")
        await load.reads_from("primary", seconds=loads.RETURN_SECONDS)
        await load.writes(seconds=loads.RESUME_SECONDS)
        failures_later = await _failures(load.service)

    assert ready == 200
    assert failures_later == failures
    assert load.log.count(503, since=resumed_at) == 0
    assert all(one.source for family in load.families for one in family.since(back_at))
    # From the primary to the new replica, and away from it when it paused.
    assert load.switches(resumed_at) == 2
    judge.check(load.log, pair.database(NEW))


async def _failures(service: processes.Service) -> dict[str, float]:
    """Batches that did not commit, by the reason; with 25006 on an old connection they would go on."""
    found = await service.metrics()
    return {name: value for name, value in found.items() if "copy_failures_total" in name}


async def _demoted_then_promoted(pair: pairs.Pair, load: loads.Load) -> None:
    """The first server of the URL comes back as a standby before any other is a primary."""
    await asyncio.to_thread(pair.servers.primary.stop)
    await asyncio.to_thread(pair.demote)
    standby_at = time.monotonic()
    await conftest.until(lambda: load.log.count(503, since=standby_at) > loads.PHONES)
    assert await load.service.status("/readyz") == 503
    await asyncio.to_thread(pair.promote)


async def test_a_primary_that_comes_back_as_a_standby_is_left(pair: pairs.Pair) -> None:
    """It answers SELECT 1 and refuses writes with 25006: the service is not ready, and then finds the other."""
    async with loads.on(pair) as load:
        await _demoted_then_promoted(pair, load)
        await load.writes(seconds=loads.RESUME_SECONDS)
        await load.service.ready(seconds=loads.RESUME_SECONDS)
        await load.reads_from("replica", seconds=loads.RETURN_SECONDS)

    judge.check(load.log, pair.database(NEW))


async def test_the_check_finds_a_service_that_stays_where_it_is(pair: pairs.Pair) -> None:
    """A build that takes whichever server answers first never writes again."""
    async with loads.on(pair, module="tests.broken.any_server") as load:
        await _demoted_then_promoted(pair, load)
        with pytest.raises(TimeoutError):
            await load.writes(seconds=loads.RESUME_SECONDS)


async def test_a_primary_that_hangs_keeps_nobody_from_the_new_one(pair: pairs.Pair) -> None:
    """Its sockets still take callers and no answer comes, as from a machine that lost its power."""
    async with loads.on(pair) as load:
        with trees.standing_still(pairs.processes(pair.servers.primary)):
            await asyncio.to_thread(pair.promote)
            await load.writes(seconds=loads.RESUME_SECONDS)
            await load.reads_from("primary", seconds=loads.RETURN_SECONDS)
            assert pair.servers.primary.pid is not None
            trees.send(trees.tree(pair.servers.primary.pid), signal.SIGKILL)


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
    broken = _ask_again_and_again(running, student, seconds=loads.RETURN_SECONDS)
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
