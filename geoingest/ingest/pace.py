"""How fast the lanes write: pings per second lately, and what the smallest batch takes."""

from __future__ import annotations

# Shorter, and one batch more or less would be the rate.
_SAMPLE_SECONDS = 0.05
# Of the latest against all before it.
_WEIGHT = 0.2


class Pace:
    """Learned from every batch that was committed."""

    def __init__(self) -> None:
        self.pings_per_second = 0.0
        # Of a batch with one request: no answer can come sooner.
        self.least_seconds = 0.0
        self._sampled_at = 0.0
        self._pings = 0

    def wrote(self, pings: int, *, requests: int, seconds: float, now: float) -> None:
        """A batch of so many pings took so long."""
        if requests == 1:
            self.least_seconds += (seconds - self.least_seconds) * _WEIGHT
        self.least_seconds = min(self.least_seconds, seconds)
        self._pings += pings
        passed_seconds = now - self._sampled_at
        if passed_seconds >= _SAMPLE_SECONDS:
            rate = self._pings / passed_seconds
            self.pings_per_second += (rate - self.pings_per_second) * _WEIGHT
            self._sampled_at, self._pings = now, 0
