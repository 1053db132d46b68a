"""Viewers: who may see which student, asked of the database with each question."""

from __future__ import annotations

from geoingest import db, errors


async def require(connection: db.Connection, digest: bytes, student_id: int) -> None:
    """NotFoundError unless the token's viewer may see this student: foreign and unknown look alike.

    UnauthenticatedError when the token is unknown or revoked.
    """
    row = await connection.fetchrow(db.queries()["viewer_may_see"], digest, student_id)
    if row is None:
        raise errors.UnauthenticatedError
    if not row["allowed"]:
        raise errors.NotFoundError


async def students(
    connection: db.Connection, digest: bytes, wanted: list[int] | None, *, limit: int
) -> list[int]:
    """The students the token's viewer may see, of those wanted (None: all); UnauthenticatedError."""
    viewer = await connection.fetchrow(db.queries()["viewer_by_token"], digest)
    if viewer is None:
        raise errors.UnauthenticatedError
    rows = await connection.fetch(
        db.queries()["viewer_students"], viewer["viewer_id"], viewer["sees_all"], wanted, limit
    )
    return [row["student_id"] for row in rows]
