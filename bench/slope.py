"""How fast a quantity grows: a line by least squares, and how much steeper the noise lets it be."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

# The 97.5 % quantile of the normal distribution: the upper end of a 95 % interval.
_NORMAL = 1.96
_LEAST_FREE = 3.0
# Rounding of floats is no noise.
_NOTHING = 1e-12


class Slope(NamedTuple):
    """Growth per minute, and the upper end of its 95 % interval."""

    per_minute: float
    upper: float


def fit(minutes: Sequence[float], values: Sequence[float]) -> Slope:
    """The line through samples taken one after the other.

    Memory moves in steps: a sample tells much of the next one. So they count for less than their
    number, by the correlation of neighbours, or the interval would be far too narrow.
    """
    count = len(values)
    middle, level = sum(minutes) / count, sum(values) / count
    offsets = [one - middle for one in minutes]
    spread = sum(one * one for one in offsets)
    per_minute = sum(at * one for at, one in zip(offsets, values, strict=True)) / spread
    rest = [one - level - per_minute * at for at, one in zip(offsets, values, strict=True)]
    squares = sum(one * one for one in rest)
    if squares <= _NOTHING * count:
        return Slope(per_minute, per_minute)
    echo = sum(one * after for one, after in itertools.pairwise(rest)) / squares
    echo = max(0.0, echo)
    free = max(_LEAST_FREE, count * (1 - echo) / (1 + echo) - 2)
    error = math.sqrt(squares / free / spread)
    return Slope(per_minute, per_minute + _student(free) * error)


def _student(free: float) -> float:
    """The same quantile of Student's distribution, by its series in 1 / free."""
    z = _NORMAL
    return z + (z**3 + z) / (4 * free) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * free**2)
