"""How fast the lanes write: pings per second lately, and what the smallest batch takes."""

from __future__ import annotations

import math

# Shorter, and one batch more or less would be the rate.
_SAMPLE_SECONDS = 0.05
# How long a rate counts: one that was reached is remembered for longer, as lanes with little to write are
# not slow; but not when what is taken by it waits for long.
_LATELY_SECONDS = 0.25
_MEMORY_SECONDS = 10.0
_LONG_SECONDS = 0.05
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
        self._longest_seconds = 0.0

    def wrote(
        self, pings: int, *, requests: int, waited_seconds: float, seconds: float, now: float
    ) -> None:
        """A batch of so many pings waited so long for its lane and took so long."""
        if requests == 1:
            self.least_seconds += (seconds - self.least_seconds) * _WEIGHT
        self.least_seconds = min(self.least_seconds, seconds)
        self._pings += pings
        self._longest_seconds = max(self._longest_seconds, waited_seconds)
        passed_seconds = now - self._sampled_at
        if passed_seconds >= _SAMPLE_SECONDS:
            rate = self._pings / passed_seconds
            is_calm = self._longest_seconds < _LONG_SECONDS
            counts = (
                _MEMORY_SECONDS if is_calm and rate < self.pings_per_second else _LATELY_SECONDS
            )
            weight = 1 - math.exp(-passed_seconds / counts)
            self.pings_per_second += (rate - self.pings_per_second) * weight
            self._sampled_at, self._pings, self._longest_seconds = now, 0, 0.0
