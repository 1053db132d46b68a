"""Acting on somebody's behalf: each statement says first who asks, and so needs no transaction around it.

Who asks is said by `act_as`, for the statement's own transaction alone; row-level security answers for whom it
names, and where it named nobody, shows nobody. With BEGIN, `act_as` and COMMIT as statements of their own a
question for one position and its record took five turns to the servers, and now two.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, Protocol

from geoingest import db
from geoingest.bearer import Bearer


class Asking(Protocol):
    """What queries ask on: somebody's behalf, or a connection as it is."""

    async def fetch(self, query: str, /, *values: object) -> list[db.Record]:
        """All rows of a query."""
        ...

    async def fetchrow(self, query: str, /, *values: object) -> db.Record | None:
        """Its first row."""
        ...

    async def fetchval(self, query: str, /, *values: object) -> Any:
        """The first value of its first row."""
        ...


class Acting:
    """A connection on which a bearer asks, of nobody but these students; None: of all whom it sees."""

    def __init__(
        self, connection: db.Connection, bearer: Bearer, students: Sequence[int] | None
    ) -> None:
        self._connection = connection
        self._who = (bearer.viewer_id, bearer.share_id, students)

    async def fetch(self, query: str, /, *values: object) -> list[db.Record]:
        return await self._connection.fetch(said(query, len(values)), *values, *self._who)

    async def fetchrow(self, query: str, /, *values: object) -> db.Record | None:
        return await self._connection.fetchrow(said(query, len(values)), *values, *self._who)

    async def fetchval(self, query: str, /, *values: object) -> Any:
        return await self._connection.fetchval(said(query, len(values)), *values, *self._who)


@functools.cache
def said(query: str, values: int) -> str:
    """The query behind who asks: it can neither be merged into the rest (OFFSET 0) nor begun before `is_said`."""
    who = ", ".join(f"${values + number}" for number in (1, 2, 3))
    return (
        f"SELECT found.* FROM act_as({who}) AS acting (is_said) CROSS JOIN LATERAL ("  # noqa: S608  # our own words
        f"SELECT question.* FROM ({query}) AS question WHERE acting.is_said OFFSET 0) AS found"
    )
