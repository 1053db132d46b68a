"""Bearers of tokens: who somebody is, kept in memory for a while, and whether it is still so, asked of the primary.

What is kept is only whose a token was. Whether the viewer, the session and the share still hold, and whom
they let see, is asked of the primary in the moment an answer is put on record (`record_lookups`): so nothing
that was revoked is shown, however long its bearer has been known.
"""

from __future__ import annotations

import collections
import time
from collections.abc import Callable

from geoingest import db, errors, http
from geoingest.bearer import Bearer

# A guess: a school's guardians, twice. About 200 bytes each.
MOST_KNOWN = 20_000
_KNOWN_SECONDS = 300.0


class Bearers:
    """Whose tokens are whose."""

    def __init__(self, primary: db.Pool, *, now: Callable[[], float] = time.monotonic) -> None:
        self._primary = primary
        self._now = now
        # By the token's digest: the bearer, and until when that is taken as known.
        self._known: collections.OrderedDict[bytes, tuple[Bearer, float]] = (
            collections.OrderedDict()
        )

    async def find(self, token: str) -> Bearer:
        """Who has this token, as far as is known; UnauthenticatedError, or DatabaseUnavailableError."""
        digest = http.digest(token)
        known = self._known.get(digest)
        if known is not None and self._now() < known[1]:
            self._known.move_to_end(digest)
            return known[0]
        return await self._look_up(digest)

    def forget(self, token: str) -> None:
        """Whoever has this token is asked for anew."""
        self._known.pop(http.digest(token), None)

    async def confirm(self, token: str) -> Bearer:
        """The same, as it is now."""
        return await self._look_up(http.digest(token))

    async def require(self, bearer: Bearer, student_id: int) -> None:
        """NotFoundError unless the bearer sees this student now."""
        if not await self._ask("sees", *bearer, student_id):
            raise errors.NotFoundError

    async def _look_up(self, digest: bytes) -> Bearer:
        self._known.pop(digest, None)
        row = await self._ask_row("bearer_by_token", digest)
        if row is None:
            raise errors.UnauthenticatedError
        bearer = Bearer(*row.values())
        self._known[digest] = bearer, self._now() + _KNOWN_SECONDS
        if len(self._known) > MOST_KNOWN:
            self._known.popitem(last=False)
        return bearer

    async def _ask(self, query: str, *values: object) -> bool:
        row = await self._ask_row(query, *values)
        return row is not None and bool(row[0])

    async def _ask_row(self, query: str, *values: object) -> db.Record | None:
        try:
            async with self._primary.acquire(timeout=db.CONNECT_SECONDS) as connection:
                return await connection.fetchrow(db.queries()[query], *values)
        except db.DRIVER_ERRORS as exc:
            if db.is_away(exc):
                raise errors.DatabaseUnavailableError from exc
            raise
