"""How fast the lanes write: pings per second lately, and what the smallest batch takes."""

from __future__ import annotations

import math

# Shorter, and one batch more or less would be the rate.
_SAMPLE_SECONDS = 0.05
# How long a rate counts: one that was reached is remembered for longer, as lanes with little to write are
# not slow; but not when somebody waits for them.
_LATELY_SECONDS = 0.25
_MEMORY_SECONDS = 10.0
# Of a lone request's time against all before it.
_WEIGHT = 0.2


class Pace:
    """Learned from every batch that was committed."""

    def __init__(self) -> None:
        self.pings_per_second = 0.0
        # Of a batch with one request: no answer can come sooner.
        self.least_seconds = 0.0
        self._sampled_at = 0.0
        self._pings = 0
        self._is_calm = True

    def wrote(
        self, pings: int, *, requests: int, seconds: float, is_calm: bool, now: float
    ) -> None:
        """A batch of so many pings took so long; `is_calm` when it did not wait for its lane."""
        if requests == 1:
            self.least_seconds += (seconds - self.least_seconds) * _WEIGHT
        self.least_seconds = min(self.least_seconds, seconds)
        self._pings += pings
        self._is_calm &= is_calm
        passed_seconds = now - self._sampled_at
        if passed_seconds >= _SAMPLE_SECONDS:
            rate = self._pings / passed_seconds
            remembers = self._is_calm and rate < self.pings_per_second
            counts = _MEMORY_SECONDS if remembers else _LATELY_SECONDS
            weight = 1 - math.exp(-passed_seconds / counts)
            self.pings_per_second += (rate - self.pings_per_second) * weight
            self._sampled_at, self._pings, self._is_calm = now, 0, True
