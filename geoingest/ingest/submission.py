"""A request on its way to the database, and what becomes of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from geoingest import errors
from geoingest.ingest import decode, rows


class Outcome(NamedTuple):
    """What became of the rows of a batch, by key; `stored` None means all of them, none twice."""

    stored: set[rows.Key] | None = None
    unstorable: frozenset[rows.Key] = frozenset()


class Verdict(NamedTuple):
    """What became of one request's checked pings; `unstorable` are positions among them."""

    stored: int
    duplicate: int
    unstorable: Sequence[int] = ()


class Waiter(Protocol):
    """Who waits for the verdict: a future, or a connection that answers at once."""

    def done(self) -> bool:
        """True once it needs no verdict any more."""
        ...

    def set_result(self, verdict: Verdict, /) -> None:
        """Everything of the request is settled."""
        ...

    def set_exception(self, error: errors.ServiceError, /) -> None:
        """Nothing of the request is certain: keep it, come again."""
        ...


class Submission:
    """One request on its way: its rows, its rejects, and whoever waits for the verdict."""

    __slots__ = ("decoded", "queued_at", "size_bytes", "waiter")

    def __init__(
        self,
        decoded: decode.Decoded,
        waiter: Waiter,
        *,
        size_bytes: int,
        queued_at: float,
    ) -> None:
        self.decoded = decoded
        self.waiter = waiter
        self.size_bytes = size_bytes
        self.queued_at = queued_at

    def verdict(self, outcome: Outcome, left: set[rows.Key]) -> Verdict:
        """What became of these pings; takes the keys they stored out of `left`.

        The first ping with a stored key stored it; every later one is its duplicate.
        """
        if outcome.stored is None:
            return Verdict(len(self.decoded.pings), 0)
        stored = duplicate = 0
        unstorable: list[int] = []
        for position, row in enumerate(self.decoded.pings):
            key = row[rows.KEY]
            if key in left:
                left.remove(key)
                stored += 1
            elif key in outcome.unstorable:
                unstorable.append(position)
            else:
                duplicate += 1
        return Verdict(stored, duplicate, unstorable)
