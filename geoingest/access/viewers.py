"""Viewers: who may see which student, asked of the database with each question."""

from __future__ import annotations

from geoingest import db, errors


async def require(connection: db.Connection, digest: bytes, student_id: int) -> int:
    """The token's viewer; NotFoundError unless it may see this student: foreign and unknown look alike.

    UnauthenticatedError when the token is unknown or revoked.
    """
    row = await connection.fetchrow(db.queries()["viewer_may_see"], digest, student_id)
    if row is None:
        raise errors.UnauthenticatedError
    if not row["allowed"]:
        raise errors.NotFoundError
    viewer_id: int = row["viewer_id"]
    return viewer_id


async def students(
    connection: db.Connection, digest: bytes, wanted: list[int] | None, *, limit: int
) -> tuple[int, list[int]]:
    """The token's viewer and the students it may see, of those wanted (None: all); UnauthenticatedError."""
    viewer = await connection.fetchrow(db.queries()["viewer_by_token"], digest)
    if viewer is None:
        raise errors.UnauthenticatedError
    rows = await connection.fetch(
        db.queries()["viewer_students"], viewer["viewer_id"], viewer["sees_all"], wanted, limit
    )
    return viewer["viewer_id"], [row["student_id"] for row in rows]
