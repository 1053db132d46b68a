"""Seats for questions: a school has so many, and whoever comes when all are taken waits a little."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from geoingest import errors

# Longer than whoever sits waits for a replica that hangs, before the primary is asked.
_PATIENCE_SECONDS = 3.0
# So many for each seat; a guess.
_MOST_WAITING = 10


class _Room:
    """One school's seats, and how many sit or wait."""

    def __init__(self, seats: int) -> None:
        self.seats = asyncio.Semaphore(seats)
        self.people = 0


class Seats:
    """The rooms in which somebody is: each school has as many seats, and takes none of another's."""

    def __init__(self, each: int) -> None:
        self._each = each
        self._rooms: dict[int, _Room] = {}

    @contextlib.asynccontextmanager
    async def of(self, school_id: int) -> AsyncIterator[None]:
        """A seat for as long as the block lasts; OverloadedError when none gets free in time."""
        room = self._rooms.setdefault(school_id, _Room(self._each))
        if room.people >= self._each * (1 + _MOST_WAITING):
            raise errors.OverloadedError
        room.people += 1
        try:
            await _take(room.seats)
            try:
                yield
            finally:
                room.seats.release()
        finally:
            room.people -= 1
            if not room.people:
                del self._rooms[school_id]


async def _take(seats: asyncio.Semaphore) -> None:
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await seats.acquire()
    except TimeoutError as exc:
        raise errors.OverloadedError from exc
