"""A request on its way to the database, and what becomes of it."""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import NamedTuple, Protocol

from geoingest import errors, ping
from geoingest.ingest import content, rows

_NONE: Mapping[object, ping.Reason] = types.MappingProxyType({})


class Outcome(NamedTuple):
    """What became of the rows of a batch, by key; `stored` None means all of them, none twice."""

    stored: set[rows.Key] | None = None
    # What the database does not take, and why.
    rejected: Mapping[rows.Key, ping.Reason] = _NONE  # type: ignore[assignment]  # it is empty


class Verdict(NamedTuple):
    """What became of one request's checked pings; `rejected` by their position among them."""

    stored: int
    duplicate: int
    rejected: Mapping[int, ping.Reason] = _NONE  # type: ignore[assignment]  # as above


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
        decoded: content.Decoded,
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
        rejected: dict[int, ping.Reason] = {}
        for position, row in enumerate(self.decoded.pings):
            key = row[rows.KEY]
            if key in left:
                left.remove(key)
                stored += 1
            elif key in outcome.rejected:
                rejected[position] = outcome.rejected[key]
            else:
                duplicate += 1
        return Verdict(stored, duplicate, rejected)
