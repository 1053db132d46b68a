"""A request on its way to the database, and what becomes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from geoingest import ping
from geoingest.ingest import decode


class Outcome(NamedTuple):
    """What became of the rows of a batch, by key; `stored` None means all of them, none twice."""

    stored: set[ping.Key] | None = None
    unstorable: frozenset[ping.Key] = frozenset()


class Verdict(NamedTuple):
    """What became of one request's checked pings; `unstorable` are positions among them."""

    stored: int
    duplicate: int
    unstorable: Sequence[int] = ()


class Submission:
    """One request on its way: its rows, its rejects, and the future its handler awaits."""

    __slots__ = ("decoded", "future", "queued_at", "size_bytes")

    def __init__(
        self,
        decoded: decode.Decoded,
        future: asyncio.Future[Verdict],
        *,
        size_bytes: int,
        queued_at: float,
    ) -> None:
        self.decoded = decoded
        self.future = future
        self.size_bytes = size_bytes
        self.queued_at = queued_at

    def verdict(self, outcome: Outcome, left: set[ping.Key]) -> Verdict:
        """What became of these pings; takes the keys they stored out of `left`.

        The first ping with a stored key stored it; every later one is its duplicate.
        """
        if outcome.stored is None:
            return Verdict(len(self.decoded.pings), 0)
        stored = duplicate = 0
        unstorable: list[int] = []
        for position, row in enumerate(self.decoded.pings):
            key = row[:3]
            if key in left:
                left.remove(key)
                stored += 1
            elif key in outcome.unstorable:
                unstorable.append(position)
            else:
                duplicate += 1
        return Verdict(stored, duplicate, unstorable)
