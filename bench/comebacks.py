"""When refused phones come again: Retry-After must spread them, or all are back in the same second."""

from __future__ import annotations

import collections


class Comebacks:
    """Refusals by the second in which they were given and the second for which they ask."""

    def __init__(self) -> None:
        self._waves: collections.defaultdict[int, collections.Counter[int]] = (
            collections.defaultdict(collections.Counter)
        )

    def note(self, now: float, retry_after_seconds: float) -> None:
        """One refusal."""
        self._waves[int(now)][int(now + retry_after_seconds)] += 1

    def add(self, other: Comebacks) -> None:
        """Those that another process of the same machine has seen: one clock for all."""
        for second, wave in other._waves.items():
            self._waves[second].update(wave)

    @property
    def fullest_to_mean(self) -> float | None:
        """Of the largest wave, refused in one second: its fullest second of return against the mean.

        The mean is over all seconds up to the last return, so that one long wait for all is no spread.
        """
        if not self._waves:
            return None
        second, wave = max(self._waves.items(), key=lambda one: one[1].total())
        longest = max(wave) - second
        return round(max(wave.values()) * max(1, longest) / wave.total(), 2)
