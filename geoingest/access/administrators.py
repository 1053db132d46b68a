"""Administrators: who may change who there is."""

from __future__ import annotations

from geoingest import db, errors
from geoingest.access import bearers
from geoingest.bearer import Bearer


class Administrators:
    """Tells them from all others."""

    def __init__(self, known: bearers.Bearers, primary: db.Pool) -> None:
        self._bearers = known
        self._primary = primary

    async def require(self, token: str) -> Bearer:
        """Who has this token, as of now; UnauthenticatedError, or NotFoundError where it is no admin.

        Whoever is let look at one student by an admin's share is none.
        """
        bearer = await self._bearers.confirm(token)
        if bearer.share_id or not await self._is_admin(bearer):
            raise errors.NotFoundError
        return bearer

    async def _is_admin(self, bearer: Bearer) -> bool:
        try:
            async with self._primary.acquire(timeout=db.CONNECT_SECONDS) as connection:
                found = await connection.fetchval(db.queries()["is_admin"], bearer.viewer_id)
        except db.DRIVER_ERRORS as exc:
            if db.is_away(exc):
                raise errors.DatabaseUnavailableError from exc
            raise
        return bool(found)
