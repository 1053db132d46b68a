"""Whether the queue may take more: hard limits always, and a short wait while overload lasts.

A database that hesitates for a moment is no overload: what gathers meanwhile is written at once
when it goes on, so the queue may grow old up to its limit. Overload is a queue that stays old: once
it has been older than `busy_age_seconds` for `patience_seconds` without a break, more is refused
until the queue is young again, so that what is taken is answered in time and what is refused costs
little. That ends when nothing had to be refused for `calm_seconds`.
"""

from __future__ import annotations

from typing import NamedTuple


class Limits(NamedTuple):
    """What may wait in memory, how much one batch takes, and how long to wait in overload."""

    queue_pings: int
    queue_bytes: int
    queue_age_seconds: float
    batch_pings: int
    busy_age_seconds: float


class Overload:
    """Remembers since when the queue is old, and until when it is kept short."""

    patience_seconds = 0.25
    calm_seconds = 1.0

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._old_since: float | None = None
        self._busy_until = float("-inf")

    def refuses(self, *, pings: int, size_bytes: int, age_seconds: float, now: float) -> bool:
        """True when a queue with so much in it may take nothing more at this moment.

        `age_seconds` is that of the request which has waited the longest.
        """
        limits = self._limits
        if (
            pings > limits.queue_pings
            or size_bytes > limits.queue_bytes
            or age_seconds > limits.queue_age_seconds
        ):
            return True
        if age_seconds <= limits.busy_age_seconds:
            self._old_since = None
            return False
        if self._old_since is None:
            self._old_since = now
        if now < self._busy_until or now - self._old_since > self.patience_seconds:
            self._busy_until = now + self.calm_seconds
            return True
        return False
