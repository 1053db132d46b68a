"""How long the event loop needs to come round once: no answer can be faster than some of its turns."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

# Of the latest turn against all before it.
_WEIGHT = 0.5


class Turn:
    """Learned while it is asked for."""

    def __init__(self, *, now: Callable[[], float] = time.monotonic) -> None:
        self.seconds = 0.0
        self._now = now
        self._is_timed = False

    def measure(self) -> None:
        """Times the turn that is under way, unless that is being done."""
        if not self._is_timed:
            self._is_timed = True
            # Called when all that was ready has been served, and the next look was taken.
            asyncio.get_running_loop().call_soon(self._end, self._now())

    def _end(self, began: float) -> None:
        self._is_timed = False
        self.seconds += (self._now() - began - self.seconds) * _WEIGHT
