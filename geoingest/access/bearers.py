"""Bearers of tokens: who somebody is, kept in memory for a while, and whether it is still so, asked of the primary.

What is kept is only whose a token was. Whether the viewer, the session and the share still hold, and whom
they let see, is asked of the primary in the moment an answer is put on record (`record_lookups`): so nothing
that was revoked is shown, however long its bearer has been known.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from geoingest import db, errors, http, rates
from geoingest.access import enquiries, platform, shelf
from geoingest.bearer import Bearer

# A guess: a school's guardians, twice. About 200 bytes each.
MOST_KNOWN = 20_000
_KNOWN_SECONDS = 300.0


class Bearers:
    """Whose tokens are whose, those of a platform too; how often each may ask, and with which school."""

    def __init__(
        self,
        primary: db.Pool,
        trusted: platform.Platform | None = None,
        *,
        requests_per_second: float,
        most_known: int = MOST_KNOWN,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._primary = primary
        self._platform = trusted
        # The clock of the platform's tokens: known is nobody for longer than the token lasts.
        self._now = now
        self._rates = rates.Rates(requests_per_second)
        self._tokens = enquiries.Enquiries[bytes](primary, "bearers_by_token")
        self._subjects = enquiries.Enquiries[str](primary, "bearers_by_external_id")
        # By the token's digest.
        self._known = shelf.Shelf[bytes, Bearer](most=most_known, seconds=_KNOWN_SECONDS, now=now)
        self._schools = shelf.Shelf[int, int](most=MOST_KNOWN, seconds=_KNOWN_SECONDS, now=now)

    async def find(self, token: str) -> Bearer:
        """Who has this token, as far as is known.

        UnauthenticatedError, DatabaseUnavailableError, or TooManyRequestsError for who asks too often.
        """
        digest = http.digest(token)
        bearer = self._known.get(digest) or await self._look_up(token, digest)
        # Whoever was given a share has a rate of its own, so that nobody uses up the viewer's.
        wait_seconds = self._rates.wait_seconds(-bearer.share_id or bearer.viewer_id)
        if wait_seconds:
            raise errors.TooManyRequestsError(wait_seconds)
        return bearer

    def forget(self, token: str) -> None:
        """Whoever has this token is asked for anew."""
        self._known.drop(http.digest(token))

    async def confirm(self, token: str) -> Bearer:
        """The same, as it is now."""
        return await self._look_up(token, http.digest(token))

    async def require(self, bearer: Bearer, student_id: int) -> None:
        """NotFoundError unless the bearer sees this student now."""
        if not await self._ask("sees", *bearer, student_id):
            raise errors.NotFoundError

    def school(self, bearer: Bearer) -> int:
        """The school with which a bearer that was found shares its seats; 0 where it is of none."""
        return self._schools.get(bearer.viewer_id) or 0

    async def _look_up(self, token: str, digest: bytes) -> Bearer:
        self._known.drop(digest)
        seconds = _KNOWN_SECONDS
        if self._platform is not None and platform.is_jwt(token):
            holder = await self._platform.holder(token)
            seconds = min(seconds, holder.ends_at - self._now())
            row = await self._subjects.ask(holder.subject)
        else:
            row = await self._tokens.ask(digest)
        if row is None:
            raise errors.UnauthenticatedError
        bearer = Bearer(row["viewer_id"], row["session_id"], row["share_id"])
        self._known.put(digest, bearer, seconds=seconds)
        self._schools.put(bearer.viewer_id, row["school_id"])
        return bearer

    async def _ask(self, query: str, *values: object) -> bool:
        try:
            async with self._primary.acquire(timeout=db.CONNECT_SECONDS) as connection:
                row = await connection.fetchrow(db.queries()[query], *values)
        except db.DRIVER_ERRORS as exc:
            if db.is_away(exc):
                raise errors.DatabaseUnavailableError from exc
            raise
        return row is not None and bool(row[0])
