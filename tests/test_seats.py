"""A school has so many seats: its own wait for one, and those of another school do not."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest

from geoingest import errors, seats
from tests import conftest

SEATS = 2


class _Question:
    """Somebody who sits until told to go."""

    def __init__(self, of: seats.Seats, school_id: int) -> None:
        self.sits = False
        self.goes = asyncio.Event()
        self.task = asyncio.create_task(self._ask(of, school_id))

    async def _ask(self, of: seats.Seats, school_id: int) -> None:
        async with of.of(school_id):
            self.sits = True
            await self.goes.wait()
        self.sits = False

    async def leave(self) -> None:
        """It is answered."""
        self.goes.set()
        await self.task


async def test_a_school_takes_its_own_seats_and_no_others() -> None:
    """Two of school 1 sit, the third waits for one of them; school 2 sits down at once."""
    of = seats.Seats(SEATS)
    first, second, third = (_Question(of, 1) for _ in range(3))
    await conftest.until(lambda: first.sits and second.sits)

    other = _Question(of, 2)
    await conftest.until(lambda: other.sits)
    waited = not third.sits
    await first.leave()
    await conftest.until(lambda: third.sits)

    assert waited
    for one in (second, third, other):
        await one.leave()
    assert of._rooms == {}


async def test_who_gets_no_seat_in_time_is_refused() -> None:
    """503 overloaded after a second, and nothing is kept of who has gone."""
    of = seats.Seats(SEATS)
    sitting = [_Question(of, 1) for _ in range(SEATS)]
    await conftest.until(lambda: all(one.sits for one in sitting))

    started = time.monotonic()
    with pytest.raises(errors.OverloadedError):
        async with of.of(1):
            pass
    waited_seconds = time.monotonic() - started

    assert waited_seconds >= 1.0
    for one in sitting:
        await one.leave()
    assert of._rooms == {}


async def test_too_many_do_not_even_wait() -> None:
    """What waits is bounded: eleven times the seats, and the next is refused at once."""
    of = seats.Seats(SEATS)
    crowd = [_Question(of, 1) for _ in range(SEATS * 11)]
    await conftest.until(lambda: sum(one.sits for one in crowd) == SEATS)

    started = time.monotonic()
    with pytest.raises(errors.OverloadedError):
        async with of.of(1):
            pass
    waited_seconds = time.monotonic() - started

    assert waited_seconds < 0.5
    for one in crowd:
        one.task.cancel()
    await asyncio.wait([one.task for one in crowd])
    assert of._rooms == {}


async def test_who_hangs_up_leaves_the_seat() -> None:
    """Sitting or waiting: whoever is cancelled, or fails, is in nobody's way."""
    of = seats.Seats(1)
    sitting, waiting = _Question(of, 1), _Question(of, 1)
    await conftest.until(lambda: sitting.sits)

    for one in (waiting, sitting):
        one.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await one.task
    with pytest.raises(ZeroDivisionError):
        async with of.of(1):
            raise ZeroDivisionError

    async with asyncio.timeout(0.5):
        async with of.of(1):
            assert len(of._rooms) == 1
    assert of._rooms == {}
