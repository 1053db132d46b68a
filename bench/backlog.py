"""What each phone gathered while it had no network, cut into requests."""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from bench import bodies

_LEAST_PINGS, _MOST_PINGS = 50, 100
_WAYS_TO_CUT = 16
_SETTLED = re.compile(rb'"stored":(\d+),"duplicate":(\d+),"rejected":\[\]}$')


class Settled(NamedTuple):
    """What an answer 200 says of the pings of its request."""

    stored: int
    duplicate: int


class Backlog(Protocol):
    """What phones have kept, by the phone's number and that of its request."""

    @property
    def phones(self) -> int: ...

    @property
    def all_pings(self) -> int: ...

    def pings(self, phone: int, part: int, /) -> int:
        """Pings in a phone's request of this number; 0 behind its last."""
        ...

    def request(self, phone: int, part: int, /) -> bytes:
        """That request."""
        ...

    def settled(self, phone: int, part: int, tail: bytes, /) -> Settled | None:
        """What the end of its answer says; None when that is not that all is settled."""
        ...


class Part(NamedTuple):
    """One request's body, with its length in front."""

    pings: int
    body: bytes


class Kept:
    """All phones have the same instants, which student and device make unique; so bodies are shared."""

    def __init__(
        self, tokens: Sequence[str], *, port: int, pings: int, start_ms: int, singles: float
    ) -> None:
        chooser = random.Random(6)
        instants = range(
            start_ms, start_ms + pings * bodies.BACKLOG_STEP_MS, bodies.BACKLOG_STEP_MS
        )
        one_by_one = _cut(instants, [1] * pings, chooser)
        pieces = [_cut(instants, _sizes(pings, chooser), chooser) for _ in range(_WAYS_TO_CUT)]
        self.phones = len(tokens)
        self.all_pings = pings * len(tokens)
        self._heads = [bodies.head(token, port=port) for token in tokens]
        # Many phone apps know only one ping per request, whatever they have kept.
        self._parts = [
            one_by_one if chooser.random() < singles else chooser.choice(pieces) for _ in tokens
        ]

    def pings(self, phone: int, part: int) -> int:
        """Pings in a phone's request of this number; 0 behind its last."""
        parts = self._parts[phone]
        return parts[part].pings if part < len(parts) else 0

    def request(self, phone: int, part: int) -> bytes:
        """That request."""
        return self._heads[phone] + self._parts[phone][part].body

    def settled(self, phone: int, part: int, tail: bytes) -> Settled | None:
        """None when there are fewer or more than were sent, or any was rejected."""
        found = _SETTLED.search(tail)
        settled = Settled(int(found[1]), int(found[2])) if found else None
        return settled if settled and sum(settled) == self.pings(phone, part) else None


def _cut(instants_ms: Sequence[int], sizes: Sequence[int], chooser: random.Random) -> list[Part]:
    left = iter(instants_ms)
    return [Part(size, bodies.array(itertools.islice(left, size), chooser)) for size in sizes]


def _sizes(pings: int, chooser: random.Random) -> list[int]:
    """From the least to the most of a request; fewer only where there are no more."""
    sizes = []
    while pings > _MOST_PINGS:
        sizes.append(chooser.randint(_LEAST_PINGS, min(_MOST_PINGS, pings - _LEAST_PINGS)))
        pings -= sizes[-1]
    return [*sizes, pings]
