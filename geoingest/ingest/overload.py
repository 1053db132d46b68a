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

    def __init__(self, limits: Limits) -> None:
        self.pace = pace.Pace()
        self._limits = limits
        self._old_since: float | None = None
        self._busy_until = float("-inf")

    def refuses(self, *, pings: int, size_bytes: int, waiting_seconds: float, now: float) -> bool:
        """True when memory with so much in it may take nothing more at this moment.

        `pings` are all that are not committed; `size_bytes` and `waiting_seconds` are the queue's:
        its bodies, and how long its first request has waited for a lane.
        """
        limits = self._limits
        if (
            pings > limits.queue_pings
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
        if now >= self._busy_until or pings <= self._busy_pings():
            return False
        self._busy_until = now + self.calm_seconds
        return True

    def _busy_pings(self) -> float:
        least_seconds = self.least_writes * self.pace.least_seconds
        return self.pace.pings_per_second * max(self._limits.busy_wait_seconds, least_seconds)
