"""Viewers: who may see which student, asked of the database with each question."""

from __future__ import annotations

from typing import NamedTuple

from geoingest import db, errors


class Viewer(NamedTuple):
    """Whoever is authenticated on the read side."""

    viewer_id: int
    sees_all: bool


async def find(connection: db.Connection, digest: bytes) -> Viewer:
    """The viewer with this token; UnauthenticatedError when it is unknown or revoked."""
    row = await connection.fetchrow(db.queries()["viewer_by_token"], digest)
    if row is None:
        raise errors.UnauthenticatedError
    return Viewer(row["viewer_id"], row["sees_all"])


async def require(connection: db.Connection, digest: bytes, student_id: int) -> None:
    """NotFoundError unless the viewer may see this student: foreign and unknown look alike."""
    viewer = await find(connection, digest)
    allowed = await connection.fetchval(
        db.queries()["viewer_may_see"], viewer.viewer_id, student_id, viewer.sees_all
    )
    if not allowed:
        raise errors.NotFoundError


async def students(
    connection: db.Connection, digest: bytes, wanted: list[int] | None, *, limit: int
) -> list[int]:
    """The students this viewer may see, of those wanted (None: all)."""
    viewer = await find(connection, digest)
    rows = await connection.fetch(
        db.queries()["viewer_students"], viewer.viewer_id, viewer.sees_all, wanted, limit
    )
    return [row["student_id"] for row in rows]
