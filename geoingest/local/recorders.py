"""What a simulated phone records: a random walk, or a recorded trip moved to now."""

from __future__ import annotations

import datetime
import itertools
import math
import random
from collections.abc import Sequence
from typing import Protocol

from geoingest.local import traces

_METRES_PER_DEGREE = 111_320.0
_STEP_METRES_PER_SECOND = 1.4
_TOWN = (52.52, 13.405)
# Between two trips of a replay.
_PAUSE = datetime.timedelta(seconds=60)


class Recorder(Protocol):
    """The port to whatever moves a phone."""

    def recorded(self, now: datetime.datetime) -> list[traces.Fix]:
        """The fixes since the last call."""
        ...


class Walk:
    """A walk through a town with a fix each interval."""

    def __init__(self, seed: int, interval_seconds: float, start: datetime.datetime) -> None:
        self._random = random.Random(seed)  # noqa: S311  # no secret
        self._interval = datetime.timedelta(seconds=interval_seconds)
        self._next_at = start
        self._latitude = _TOWN[0] + self._random.uniform(-0.05, 0.05)
        self._longitude = _TOWN[1] + self._random.uniform(-0.08, 0.08)
        self._course = self._random.uniform(0, 360)

    def recorded(self, now: datetime.datetime) -> list[traces.Fix]:
        """One fix for each interval that has passed."""
        fixes = []
        while self._next_at <= now:
            self._step()
            fixes.append(traces.Fix(self._next_at, self._latitude, self._longitude))
            self._next_at += self._interval
        return fixes

    def _step(self) -> None:
        self._course = (self._course + self._random.gauss(0, 20)) % 360
        metres = _STEP_METRES_PER_SECOND * self._interval.total_seconds()
        north, east = math.cos(math.radians(self._course)), math.sin(math.radians(self._course))
        self._latitude += metres * north / _METRES_PER_DEGREE
        self._longitude += (
            metres * east / (_METRES_PER_DEGREE * math.cos(math.radians(self._latitude)))
        )


class Replay:
    """Trips one after the other, each moved so that it starts when its turn comes."""

    def __init__(self, trips: Sequence[traces.Trip], start: datetime.datetime) -> None:
        self._trips = itertools.cycle(trips)
        self._left: list[traces.Fix] = []
        self._start = start

    def recorded(self, now: datetime.datetime) -> list[traces.Fix]:
        """The fixes whose moment has come."""
        fixes: list[traces.Fix] = []
        while True:
            if not self._left:
                if self._start > now:
                    return fixes
                trip = next(self._trips)
                self._left = traces.shifted(trip, self._start - trip[0].timestamp)
                self._start = max(self._left[-1].timestamp, self._start) + _PAUSE
            due = sum(1 for _ in itertools.takewhile(lambda fix: fix.timestamp <= now, self._left))
            fixes += self._left[:due]
            del self._left[:due]
            if self._left:
                return fixes
