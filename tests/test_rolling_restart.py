"""Two instances are restarted in turn under load: phones move to the other one and notice nothing else."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

import pytest

from geoingest.access import provision
from tests import conftest, processes, senders
from tests.oracle import judge, told

RESTARTS = 20
# The promise.
EXIT_SECONDS = 10.0
_PAUSE_SECONDS = 0.02

pytestmark = pytest.mark.faults


async def _restart_in_turn(
    database: conftest.Database,
    school: Sequence[provision.Enrolled],
    log: told.Log,
    *,
    restarts: int,
    module: str = "geoingest",
) -> list[int]:
    """The exit codes; a new instance starts while the old one drains."""
    stop = asyncio.Event()
    codes = []
    async with contextlib.AsyncExitStack() as stack:

        async def begin() -> processes.Service:
            serving = processes.serving(database, module=module)
            return await stack.enter_async_context(serving)

        pair = [await begin(), await begin()]
        async with asyncio.TaskGroup() as group:
            for number, student in enumerate(school):
                phone = senders.Sender(student, log, invalid_every=senders.INVALID_EVERY)
                group.create_task(_roam(phone, pair, stop, first=number))
            for number in range(restarts):
                answered = log.count(200)
                await conftest.until(lambda: log.count(200) > answered + 5 * len(school))  # noqa: B023  # awaited here
                pair[number % 2].terminate()
                code, pair[number % 2] = await asyncio.gather(
                    pair[number % 2].ended(seconds=EXIT_SECONDS), begin()
                )
                codes.append(code)
            stop.set()
    return codes


async def _roam(
    phone: senders.Sender, pair: Sequence[processes.Service], stop: asyncio.Event, *, first: int
) -> None:
    """Posts to one instance until that closes or is not there, then to the other."""
    turn = first
    while not stop.is_set():
        async with senders.session(pair[turn % 2].url) as session:
            answer = await phone.post(session)
            while answer is not None and not answer.closes and not stop.is_set():
                answer = await phone.post(session)
        if answer is None:
            await asyncio.sleep(_PAUSE_SECONDS)
        turn += 1


async def test_rolling_restarts_cost_nobody_anything(
    database: conftest.Database, school: list[provision.Enrolled]
) -> None:
    """Twenty times: each ends with 0 in time, and every request that was read is answered."""
    log = told.Log()

    codes = await _restart_in_turn(database, school, log, restarts=RESTARTS)

    assert codes == [0] * RESTARTS
    assert log.cut == 0
    judge.check(log, database)


async def test_the_check_finds_an_instance_that_does_not_drain(
    database: conftest.Database, school: list[provision.Enrolled]
) -> None:
    """Whoever ends with requests in hand is seen by their phones, whatever its exit code says."""
    log = told.Log()

    codes = await _restart_in_turn(
        database, school, log, restarts=2, module="tests.broken.abrupt_stops"
    )

    assert codes == [0, 0]
    assert log.cut > 0
