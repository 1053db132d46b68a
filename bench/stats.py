"""Percentiles of latencies, as the results name them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

_SHARES = {"p50_ms": 0.5, "p90_ms": 0.9, "p99_ms": 0.99, "p999_ms": 0.999, "max_ms": 1.0}


def percentile(ordered: Sequence[float], share: float) -> float:
    """Nearest rank of sorted values: a latency that was really seen, never between two."""
    if not ordered:
        return math.nan
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def milliseconds(seconds: Iterable[float]) -> dict[str, float | None]:
    """The usual percentiles in ms; None when nothing was measured."""
    ordered = sorted(seconds)
    if not ordered:
        return dict.fromkeys(_SHARES)
    return {name: round(percentile(ordered, share) * 1e3, 2) for name, share in _SHARES.items()}
