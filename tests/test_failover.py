"""Primary and replica swap their roles under load: nobody tells the service, and it finds out."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Iterator

import pytest

from geoingest.local import cluster
from tests import commands, conftest, loads, pairs, poolers, processes, trees
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
        for words in ("migrate", "jobs --once", "device add --student 1"):
            found = commands.run(*words.split(), environment=pair.environment)
            assert found.exit_code == 0, found.stderr
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


@poolers.needed
async def test_a_pooler_that_is_led_to_another_server_is_followed(pair: pairs.Pair) -> None:
    """The service's connections stay while a standby comes behind them, which is never taken for the primary."""
    school = pairs.school(pair, loads.PHONES + loads.FAMILIES)
    with poolers.in_front_of(pair.servers, OLD) as bouncer:
        environment = {
            **processes.ways(bouncer.url(pair.url)),
            "GEOINGEST_POOLER": "transaction",
        }
        with processes.Service(environment) as service:
            await service.ready()
            load = loads.Load(service)
            async with load.flowing(school):
                await asyncio.to_thread(pair.servers.primary.stop)
                await asyncio.to_thread(pair.demote)
                standby_at = time.monotonic()
                await conftest.until(lambda: load.log.count(503, since=standby_at) > loads.PHONES)
                await conftest.until(lambda: _are_refused(load), seconds=loads.RESUME_SECONDS)
                await asyncio.to_thread(pair.promote)
                bouncer.lead_to(NEW)
                await load.writes(seconds=loads.RESUME_SECONDS)
                await load.reads_from("primary", seconds=loads.RESUME_SECONDS)
                await service.ready(seconds=loads.RESUME_SECONDS)

    judge.check(load.log, pair.database(NEW))


def _are_refused(load: loads.Load) -> bool:
    """The newest questions of every family."""
    newest = [family.answers[-5:] for family in load.families]
    return not any(one.source for answers in newest for one in answers)
