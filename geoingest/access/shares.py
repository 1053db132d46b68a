"""Shares: links by which anybody sees one student for a while, for as long as their maker does."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import AsyncIterator
from typing import NamedTuple

from geoingest import db, errors
from geoingest.access import tokens
from geoingest.bearer import Bearer

LONGEST = datetime.timedelta(days=30)
# One viewer's of one student, live or made within the hour; a guess.
MOST = 20
# Any number, as long as it never changes: of two-part advisory locks ours are these.
_LOCK = 4_270_003


class Made(NamedTuple):
    """A new share; its token is shown once."""

    share_id: int
    token: str
    ends_at: datetime.datetime


class Share(NamedTuple):
    """A share that has not ended."""

    share_id: int
    viewer_id: int
    created_at: datetime.datetime
    ends_at: datetime.datetime


class Shares:
    """Made, listed and ended on the primary, by who sees a student in full."""

    def __init__(self, primary: db.Pool) -> None:
        self._primary = primary

    async def add(
        self, bearer: Bearer, student_id: int, end: datetime.datetime | datetime.timedelta
    ) -> Made:
        """A share that ends then, or after so long; NotFoundError, or TooManySharesError."""
        at, after = (end, None) if isinstance(end, datetime.datetime) else (None, end)
        token, viewer = tokens.create("share"), (bearer.viewer_id, bearer.session_id)
        async with self._acting(bearer) as connection:
            await connection.execute(db.queries()["lock_shares"], _LOCK, bearer.viewer_id)
            row = await connection.fetchrow(
                db.queries()["add_share"],
                *viewer,
                student_id,
                tokens.digest(token),
                at,
                after,
                MOST,
            )
            if row is None:
                await _require(connection, bearer, student_id)
                raise errors.TooManySharesError(f"at most {MOST}: end one, or wait an hour")
        return Made(row["share_id"], token, row["ends_at"])

    async def of_student(self, bearer: Bearer, student_id: int) -> list[Share]:
        """All that may be used, whoever made them; NotFoundError."""
        async with self._acting(bearer) as connection:
            await _require(connection, bearer, student_id)
            rows = await connection.fetch(db.queries()["shares_of"], student_id)
        return [Share(*row.values()) for row in rows]

    async def end(self, bearer: Bearer, share_id: int) -> None:
        """No process shows anything by it any more; NotFoundError."""
        async with self._acting(bearer) as connection:
            viewer = bearer.viewer_id, bearer.session_id
            ended = await connection.fetchrow(db.queries()["end_share"], *viewer, share_id)
        if ended is None:
            raise errors.NotFoundError

    @contextlib.asynccontextmanager
    async def _acting(self, bearer: Bearer) -> AsyncIterator[db.Connection]:
        """A transaction; of shares no share is told anything."""
        if bearer.share_id:
            raise errors.NotFoundError
        try:
            async with (
                self._primary.acquire(timeout=db.CONNECT_SECONDS) as connection,
                connection.transaction(),
            ):
                yield connection
        except db.DRIVER_ERRORS as exc:
            if db.is_away(exc):
                raise errors.DatabaseUnavailableError from exc
            raise


class UnknownShareError(errors.GeoingestError):
    """A share was to be ended that is not there."""


def live(connection: db.DirectConnection, student_id: int) -> list[Share]:
    """All of a student that may be used."""
    found = connection.execute(db.queries()["shares_of"], [student_id])
    return [Share(**row) for row in found]  # type: ignore[arg-type]  # the columns of this table


def revoke(connection: db.DirectConnection, share_id: int) -> None:
    """Ends it at once, whoever made it; UnknownShareError when there is no such share."""
    if connection.execute(db.queries()["revoke_share"], [share_id]).fetchone() is None:
        raise UnknownShareError(f"there is no share {share_id}")


async def _require(connection: db.Connection, bearer: Bearer, student_id: int) -> None:
    """NotFoundError unless the bearer sees this student in full now."""
    if not await connection.fetchval(db.queries()["sees_in_full"], *bearer, student_id):
        raise errors.NotFoundError
