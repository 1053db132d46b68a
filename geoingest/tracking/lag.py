"""How far the replica is behind, measured by WAL position and never by comparing clocks.

A ring holds positions of the primary with the moment we saw them. The lag is the age of the oldest
one that the replica has not replayed: zero on an idle system, true when replay is paused or cut.
"""

from __future__ import annotations

import datetime
from typing import NamedTuple

# Beyond this many every second sample goes: hours of lag need no quarter seconds.
_LONGEST_RING = 1000


class Sample(NamedTuple):
    """A position of the primary: everything committed before `taken_at` lies below it."""

    position: int
    seen_seconds: float
    taken_at: datetime.datetime


class Ring:
    """Samples of the primary, oldest first, that the replica has not replayed yet."""

    def __init__(self) -> None:
        self._behind: list[Sample] = []
        self._replayed: Sample | None = None
        self._spacing_seconds = 0.0
        self._primary_position = 0
        self._replica_position = 0
        # True when the replica had come further than the primary did since: it follows another one.
        self.is_astray = False

    def add(self, sample: Sample) -> None:
        """A new position of the primary; a smaller one than before is that of another server."""
        if sample.position < self._primary_position:
            # It was promoted short of what the old one had: those positions mean nothing any more.
            self.clear()
        self._primary_position = sample.position
        self.is_astray = self._replica_position > sample.position
        behind = self._behind
        if len(behind) < 2:
            self._spacing_seconds = 0.0
        elif behind[-1].seen_seconds - behind[-2].seen_seconds < self._spacing_seconds:
            # The newest is always held, or a replica short of it would look caught up.
            behind.pop()
        behind.append(sample)
        if len(behind) > _LONGEST_RING:
            # The oldest stays: it is the lag.
            self._behind = behind[::2]
            self._spacing_seconds = self._behind[1].seen_seconds - self._behind[0].seen_seconds

    def replayed(self, position: int) -> None:
        """The replica has come this far; less than before: it started again, or is another one."""
        self._replica_position = position
        if self._replayed is not None and position < self._replayed.position:
            self._behind.insert(0, self._replayed)
            self._replayed = None
        count = 0
        for sample in self._behind:
            if sample.position > position:
                break
            self._replayed = sample
            count += 1
        del self._behind[:count]

    def clear(self) -> None:
        """Forgets all: another server counts on its own."""
        self._behind.clear()
        self._replayed = None

    def lag_seconds(self, now_seconds: float) -> float:
        """Age of the oldest sample that is not replayed; 0 when there is none."""
        return now_seconds - self._behind[0].seen_seconds if self._behind else 0.0

    @property
    def complete_up_to(self) -> datetime.datetime | None:
        """When the newest replayed sample was taken; None before the first."""
        return self._replayed.taken_at if self._replayed else None
