"""Whether memory may take more: hard limits always, and little while overload lasts.

A database that hesitates for a moment is no overload: what gathers meanwhile is written at once
when it goes on, so the queue may grow old up to its limit. Overload is a queue that stays old for
`patience_seconds` without a break. From then on no more is taken than the lanes write in
`busy_wait_seconds`, so that what is taken is answered in time and what is refused costs little.
That ends when nothing had to be refused for `calm_seconds`.
"""

from __future__ import annotations

from typing import NamedTuple

from geoingest.ingest import pace


class Limits(NamedTuple):
    """What may wait in memory, how much one batch takes, and how long to wait in overload."""

    queue_pings: int
    queue_bytes: int
    queue_age_seconds: float
    batch_pings: int
    busy_wait_seconds: float


class Overload:
    """Remembers since when the queue is old, and until when little is taken."""

    old_seconds = 0.05
    patience_seconds = 0.25
    calm_seconds = 1.0
    # A write that is under way, one's own, and room: where a commit takes long, so must the wait,
    # or less and less would be taken for lanes that could write more.
    least_writes = 3
    # A COPY takes three, wherever in its own turn a request was read. With thousands of sockets
    # ready a turn takes a tenth of a second, and less and less would be taken for the same reason.
    # What waits no longer than so many turns has waited for the loop, not for the lanes.
    least_turns = 4

    def __init__(self, limits: Limits) -> None:
        self.pace = pace.Pace()
        self._limits = limits
        self._old_since: float | None = None
        self._busy_until = float("-inf")

    def is_busy(self, now: float) -> bool:
        """True while overload lasts."""
        return now < self._busy_until

    def refuses(
        self,
        *,
        pings: int,
        more_pings: int,
        size_bytes: int,
        waiting_seconds: float,
        turn_seconds: float,
        now: float,
    ) -> bool:
        """True when memory with so much in it may not take so many more at this moment.

        `pings` are all that are not committed; `size_bytes` and `waiting_seconds` are the queue's:
        its bodies with this one, and how long its first request has waited for a lane.
        `turn_seconds` is what the event loop needs to come round once.
        """
        limits = self._limits
        if (
            pings + more_pings > limits.queue_pings
            or size_bytes > limits.queue_bytes
            or waiting_seconds > limits.queue_age_seconds
        ):
            return True
        if waiting_seconds <= self.old_seconds:
            self._old_since = None
        elif self._old_since is None:
            self._old_since = now
        elif now - self._old_since > self.patience_seconds:
            self._busy_until = now + self.calm_seconds
        if (
            not self.is_busy(now)
            # Lanes with nothing to write: they may be faster than they were.
            or not pings
            or pings + more_pings <= self._busy_pings(turn_seconds)
        ):
            return False
        self._busy_until = now + self.calm_seconds
        return True

    def wrote(
        self,
        pings: int,
        *,
        requests: int,
        waited_seconds: float,
        seconds: float,
        turn_seconds: float,
        now: float,
    ) -> None:
        """A batch of so many pings waited so long to be taken, and took so long to be committed."""
        long_seconds = max(self.old_seconds, self.least_turns * turn_seconds)
        is_calm = waited_seconds < long_seconds
        self.pace.wrote(pings, requests=requests, seconds=seconds, is_calm=is_calm, now=now)

    def _busy_pings(self, turn_seconds: float) -> float:
        least_seconds = max(
            self._limits.busy_wait_seconds,
            self.least_writes * self.pace.least_seconds,
            self.least_turns * turn_seconds,
        )
        return self.pace.pings_per_second * least_seconds
