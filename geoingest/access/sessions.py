"""Sessions: who is logged in, by a token of 256 random bits, and how each of them ends.

A session ends by itself, 30 days after it began at the latest, or when it was not used for a week; by its
viewer, one or all; with a new password; and with the viewer. Whatever ends it, ends it on every process at
once: each answer asks the primary whether the session is still there (`record_lookups`).
"""

from __future__ import annotations

import datetime
from typing import NamedTuple

from geoingest import db, errors
from geoingest.access import accounts, bearers
from geoingest.bearer import Bearer

# In one answer; who has more ends all.
MOST_LISTED = 1_000


class Terms(NamedTuple):
    """How long a session lasts, and how long without being used."""

    lasts: datetime.timedelta
    idle: datetime.timedelta


class Session(NamedTuple):
    """One of a viewer's; `is_this` is that by which it was asked."""

    session_id: int
    created_at: datetime.datetime
    used_at: datetime.datetime
    ends_at: datetime.datetime
    is_this: bool


class Sessions:
    """What viewers do with their own."""

    def __init__(self, primary: db.Pool, known: bearers.Bearers) -> None:
        self._primary = primary
        self._known = known

    async def owner(self, token: str) -> Bearer:
        """The viewer with this token, as of now; UnauthenticatedError, also for who has only a share."""
        # Which counts how often it asks.
        await self._known.find(token)
        bearer = await self._known.confirm(token)
        if bearer.share_id:
            raise errors.UnauthenticatedError
        return bearer

    async def of_owner(self, token: str) -> list[Session]:
        """All sessions of the token's viewer, the newest first."""
        owner = await self.owner(token)
        async with db.asking(self._primary) as connection:
            rows = await connection.fetch(
                db.queries()["sessions_of"], owner.viewer_id, owner.session_id, MOST_LISTED
            )
        return [Session(*row.values()) for row in rows]

    async def end(self, token: str) -> None:
        """Ends the session of this token; UnauthenticatedError when there is none."""
        owner = await self.owner(token)
        if not owner.session_id:
            raise errors.UnauthenticatedError
        self._known.forget(token)
        async with db.asking(self._primary) as connection:
            await connection.execute(db.queries()["end_session"], owner.session_id)

    async def end_all(self, token: str) -> None:
        """Ends every session of the token's viewer, its own too."""
        owner = await self.owner(token)
        self._known.forget(token)
        async with db.asking(self._primary) as connection:
            await connection.execute(db.queries()["end_sessions"], owner.viewer_id, 0)


def end_of_viewer(connection: db.DirectConnection, viewer_id: int) -> int:
    """Ends all of a viewer's; how many. UnknownViewerError when there is no such viewer."""
    if connection.execute(db.queries()["viewer"], [viewer_id]).fetchone() is None:
        raise accounts.UnknownViewerError(f"there is no viewer {viewer_id}")
    return connection.execute(db.queries()["end_sessions"], [viewer_id, 0]).rowcount


def end_of_all(connection: db.DirectConnection) -> int:
    """Ends everybody's; how many."""
    return connection.execute(db.queries()["end_all_sessions"]).rowcount
