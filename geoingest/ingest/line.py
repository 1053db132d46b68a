"""Requests that were let in and are not decoded yet: one turn of the event loop decodes only so many.

Many large bodies that arrive in one moment would keep the loop from the lanes for as long as all of
them take, and a lane's COPY needs the loop twice. So the first are decoded at once, and the others
stand in line, while every turn of the loop serves the lanes, too, and refuses what is too much.
"""

from __future__ import annotations

import asyncio
import collections
from collections.abc import Callable
from typing import NamedTuple

from geoingest import ping
from geoingest.ingest import submission

# About a millisecond of decoding.
TURN_PINGS = 300


class Arrival(NamedTuple):
    """A body, how many pings it seems to hold, and when it came."""

    sender: ping.Sender
    body: bytes
    lines: bool
    waiter: submission.Waiter
    pings: int
    came_at: float


class Line:
    """First come, first served; `serve` raises nothing."""

    def __init__(self, serve: Callable[[Arrival], None]) -> None:
        self.pings = 0
        self.size_bytes = 0
        self._serve = serve
        self._arrivals: collections.deque[Arrival] = collections.deque()
        self._turn_pings = 0
        self._is_turning = False

    @property
    def since(self) -> float | None:
        """When the first of those in line came."""
        return self._arrivals[0].came_at if self._arrivals else None

    def join(self, arrival: Arrival) -> None:
        """Serves it now or in a later turn."""
        if self._arrivals or self._turn_pings >= TURN_PINGS:
            self._arrivals.append(arrival)
            self.pings += arrival.pings
            self.size_bytes += len(arrival.body)
            return
        self._turn_pings += arrival.pings
        self._turn_soon()
        self._serve(arrival)

    def _turn(self) -> None:
        self._is_turning = False
        self._turn_pings = 0
        while self._arrivals and self._turn_pings < TURN_PINGS:
            arrival = self._arrivals.popleft()
            self.pings -= arrival.pings
            self.size_bytes -= len(arrival.body)
            self._turn_pings += arrival.pings
            self._turn_soon()
            self._serve(arrival)

    def _turn_soon(self) -> None:
        if not self._is_turning:
            self._is_turning = True
            asyncio.get_running_loop().call_soon(self._turn)
