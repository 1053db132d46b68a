"""A shelf for what was found out: each thing lies there for a while, and of too many the longest unused goes."""

from __future__ import annotations

import collections
import time
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Shelf(Generic[K, V]):
    """Values by key, none older than `seconds`; all together weigh `most`."""

    def __init__(
        self,
        *,
        most: int,
        seconds: float,
        weigh: Callable[[V], int] = lambda _: 1,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most = most
        self._seconds = seconds
        self._weigh = weigh
        self._now = now
        self._weight = 0
        self._kept: collections.OrderedDict[K, tuple[V, float]] = collections.OrderedDict()

    def get(self, key: K) -> V | None:
        """The value, unless it is too old, or not there any more."""
        kept = self._kept.get(key)
        if kept is None:
            return None
        value, until = kept
        if self._now() >= until:
            self.drop(key)
            return None
        self._kept.move_to_end(key)
        return value

    def put(self, key: K, value: V, *, seconds: float | None = None) -> None:
        """Lays the value there, as of now; for less than usual where it ends by itself."""
        self.drop(key)
        self._kept[key] = value, self._now() + (self._seconds if seconds is None else seconds)
        self._weight += self._weigh(value)
        while self._weight > self._most:
            self.drop(next(iter(self._kept)))

    def drop(self, key: K) -> None:
        """Takes it away."""
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._weight -= self._weigh(kept[0])
