"""What became of all simulated phones' pings so far."""

from __future__ import annotations

import collections
from collections.abc import Sequence

import orjson

from geoingest.local import answers


class Tally:
    """The sums over all phones; `counts` are those that the answers tell. Latencies in seconds."""

    def __init__(self, counts: Sequence[str] = ()) -> None:
        self.posted = 0
        self.acked = 0
        self.dropped = 0
        self.unreachable = 0
        self.requests = 0
        # Answers that are no success, by their status.
        self.refusals: collections.Counter[int] = collections.Counter()
        self._told = dict.fromkeys(counts, 0)
        self._latencies: collections.deque[float] = collections.deque(maxlen=10_000)

    def answered(self, answer: answers.Answer | None) -> None:
        """One request, whatever came of it."""
        self.requests += 1
        self.unreachable += answer is None
        if answer is not None and answer.status != 200:
            self.refusals[answer.status] += 1

    def taken(self, pings: int, body: bytes, seconds: float) -> None:
        """A success for so many pings, and what it says of them."""
        self.acked += pings
        self._latencies.append(seconds)
        if self._told:
            said = orjson.loads(body)
            for name in self._told:
                # The rejected are named one by one.
                found = said[name]
                self._told[name] += len(found) if isinstance(found, list) else found

    def percentile_ms(self, share: float) -> float:
        """Of the last 10,000 successes."""
        ordered = sorted(self._latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1e3 if ordered else 0.0

    def summary(self) -> dict[str, float]:
        """The sums for a program to read."""
        return {
            "posted": self.posted,
            "acked": self.acked,
            **self._told,
            "dropped": self.dropped,
            "requests": self.requests,
            "answers_503": self.refusals[503],
            **{f"answers_{status}": times for status, times in sorted(self.refusals.items())},
            "unreachable": self.unreachable,
            "p50_ms": round(self.percentile_ms(0.5), 3),
            "p99_ms": round(self.percentile_ms(0.99), 3),
        }

    def line(self) -> str:
        """The progress line."""
        troubles = f", {self.dropped} dropped by the app" if self.dropped else ""
        for status, times in sorted(self.refusals.items()):
            troubles += f", {times} x {status}"
        troubles += f", {self.unreachable} x unreachable" if self.unreachable else ""
        return (
            f"{self.posted} posted, {self.acked} acked,"
            f" p50 {self.percentile_ms(0.5):.1f} ms, p99 {self.percentile_ms(0.99):.1f} ms{troubles}"
        )
