"""What one service counted of its pings since it started."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Counted(NamedTuple):
    """The service's side of the truth: received is the sum of all others."""

    received: int
    stored: int
    duplicate: int
    rejected: int
    refused: int
    failed: int
    queued: int

    @property
    def missing(self) -> int:
        """Pings that were received and of which nothing more was counted."""
        return self.received - sum(self[1:])


def read(samples: Mapping[str, float]) -> Counted:
    """From /metrics, over all labels."""
    sums = dict.fromkeys(Counted._fields, 0.0)
    for name, value in samples.items():
        family = name.partition("{")[0]
        for word in sums:
            if family == f"geoingest_pings_{word}_total":
                sums[word] += value
    sums["queued"] = samples["geoingest_queue_pings"]
    return Counted(**{word: int(value) for word, value in sums.items()})
