"""Enquiries at the primary, many in one: what is asked while one query is under way goes into the next.

So whoever guesses tokens costs the primary one connection and a few index probes, however fast; and nobody
is refused for having the same address as a guesser, as all of a school have.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from typing import Generic, TypeVar

from geoingest import db, errors

K = TypeVar("K", bound=Hashable)

# Of one query; that many gather only while the primary hangs.
MOST_ASKED = 1_000


class _Round(Generic[K]):
    """Keys of one query, and the rows that it found of them; until then None."""

    def __init__(self) -> None:
        self.keys: set[K] = set()
        self.rows: dict[K, db.Record] | None = None
        self.failure: Exception | None = None


class Enquiries(Generic[K]):
    """One kind of question: `query` takes an array of keys, and each row says whose it is in `key`."""

    def __init__(self, primary: db.Pool, query: str) -> None:
        self._primary = primary
        self._query = query
        self._next = _Round[K]()
        self._turn = asyncio.Lock()

    async def ask(self, key: K) -> db.Record | None:
        """The row of this key, read after it was asked for; OverloadedError, DatabaseUnavailableError."""
        mine = self._next
        if len(mine.keys) >= MOST_ASKED:
            raise errors.OverloadedError
        mine.keys.add(key)
        async with self._turn:
            # The first of a round asks for all; where it is cancelled, the second does.
            if mine.rows is None and mine.failure is None:
                await self._run(mine)
        if mine.rows is None:
            raise errors.DatabaseUnavailableError from mine.failure
        return mine.rows.get(key)

    async def _run(self, mine: _Round[K]) -> None:
        if self._next is mine:
            self._next = _Round()
        try:
            async with (
                asyncio.timeout(db.CONNECT_SECONDS),
                self._primary.acquire(timeout=db.CONNECT_SECONDS) as connection,
            ):
                rows = await connection.fetch(db.queries()[self._query], list(mine.keys))
        except db.DRIVER_ERRORS as exc:
            if not db.is_away(exc):
                raise
            mine.failure = exc
        else:
            mine.rows = {row["key"]: row for row in rows}
