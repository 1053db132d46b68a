"""How often one device may post, or one viewer ask: a rate, and a reserve for who comes back after a while."""

from __future__ import annotations

import time
from collections.abc import Callable

# Seconds of its rate that whoever was silent may use up at once.
RESERVE_SECONDS = 10.0
_SWEEP_SECONDS = 60.0


class Rates:
    """For each caller the moment at which its reserve is whole again; callers at rest are forgotten."""

    def __init__(self, per_second: float, *, now: Callable[[], float] = time.monotonic) -> None:
        self._step_seconds = 1 / per_second
        self._now = now
        self._whole_at: dict[int, float] = {}
        self._swept_at = now()

    def wait_seconds(self, caller_id: int) -> float:
        """0 when the caller may go on now, and then this counts; else how long until it may."""
        now = self._now()
        if now - self._swept_at > _SWEEP_SECONDS:
            self._swept_at = now
            self._whole_at = {one: at for one, at in self._whole_at.items() if at > now}
        whole_at = max(now, self._whole_at.get(caller_id, now)) + self._step_seconds
        over_seconds = whole_at - now - RESERVE_SECONDS
        if over_seconds > 0:
            return over_seconds
        self._whole_at[caller_id] = whole_at
        return 0.0
