"""What viewers are told beside positions: who one is and whom one sees, a school's hours, the students of a class.

No position is in it, so nothing of it is put on record; but it says who is at which school. So it is the primary
that says whether the bearer may know, by the same rule as for positions (`seen_by`), in the query that reads.
What it said is kept for two seconds, for this bearer and this question alone: by another session, or another
share, of the same viewer it is asked anew.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias

import msgspec

from geoingest import db, errors, seats
from geoingest.access import bearers, shelf
from geoingest.bearer import Bearer

# Whoever sees more asks for classes.
MOST_STUDENTS = 5_000
KEPT_SECONDS = 2.0
# As JSON; all students of a school of 3,500 are 300 kB.
MOST_KEPT_BYTES = 16 * 2**20
_encode = msgspec.json.Encoder().encode

_Key: TypeAlias = tuple[Bearer, Literal["me", "school", "class"], int]


class SeenStudent(msgspec.Struct):
    """A student whom the viewer sees now."""

    student_id: int
    external_id: str | None
    class_id: int | None
    school_id: int | None


class ViewerAnswer(msgspec.Struct):
    """Who asks; `students` is null where there are too many for one answer."""

    viewer_id: int
    role: Literal["guardian", "staff", "admin"]
    students: Sequence[SeenStudent] | None


class SchoolAnswer(msgspec.Struct):
    """When a school is open, on its own clock; weekdays from 1, Monday; holidays from today on."""

    school_id: int
    external_id: str | None
    time_zone: str
    opens_at: datetime.time | None
    closes_at: datetime.time | None
    weekdays: Sequence[int]
    holidays: Sequence[datetime.date]


class ClassAnswer(msgspec.Struct):
    """Those of a class's students whom the viewer sees now."""

    class_id: int
    students: Sequence[SeenStudent]


class Viewers:
    """Answers, as JSON."""

    def __init__(
        self,
        primary: db.Pool,
        of_tokens: bearers.Bearers,
        room: seats.Seats,
        *,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._primary = primary
        self._bearers = of_tokens
        self._seats = room
        self._kept = shelf.Shelf[_Key, bytes](
            most=MOST_KEPT_BYTES, seconds=KEPT_SECONDS, weigh=len, now=now
        )

    async def me(self, token: str) -> bytes:
        """The viewer, and whom it sees; UnauthenticatedError."""
        bearer = await self._enter(token)
        key: _Key = bearer, "me", 0
        if kept := self._kept.get(key):
            return kept
        rows = await self._ask(
            "viewer_and_students", bearer, bearer.viewer_id, bearer.session_id, MOST_STUDENTS + 1
        )
        students = [_student(row) for row in rows if row["student_id"] is not None]
        if not students:
            # The rule sees nobody by a session that has ended, and does not say why.
            await self._bearers.confirm(token)
        if not rows:
            raise errors.UnauthenticatedError
        answer = ViewerAnswer(
            bearer.viewer_id,
            rows[0]["role"],
            students if len(students) <= MOST_STUDENTS else None,
        )
        return self._keep(key, answer)

    async def school(self, token: str, school_id: int) -> bytes:
        """A school; NotFoundError unless the viewer sees one of its students."""
        bearer = await self._enter(token)
        key: _Key = bearer, "school", school_id
        if kept := self._kept.get(key):
            return kept
        rows = await self._ask(
            "school_of_seen", bearer, bearer.viewer_id, bearer.session_id, school_id
        )
        if not rows:
            raise await self._not_found(token)
        (row,) = rows
        return self._keep(key, SchoolAnswer(**dict(row)))

    async def students_of_class(self, token: str, class_id: int) -> bytes:
        """A class; NotFoundError unless the viewer sees one of its students."""
        bearer = await self._enter(token)
        key: _Key = bearer, "class", class_id
        if kept := self._kept.get(key):
            return kept
        rows = await self._ask(
            "class_of_seen", bearer, bearer.viewer_id, bearer.session_id, class_id
        )
        if not rows:
            raise await self._not_found(token)
        return self._keep(key, ClassAnswer(class_id, [_student(row) for row in rows]))

    async def _enter(self, token: str) -> Bearer:
        bearer = await self._bearers.find(token)
        if bearer.share_id:
            # Who was shown where somebody is was not told who that is.
            raise await self._not_found(token)
        return bearer

    async def _not_found(self, token: str) -> errors.NotFoundError:
        """Of who is still let in; UnauthenticatedError of who is not."""
        await self._bearers.confirm(token)
        return errors.NotFoundError()

    async def _ask(self, query: str, bearer: Bearer, *values: object) -> list[db.Record]:
        try:
            async with (
                self._seats.of(self._bearers.school(bearer)),
                self._primary.acquire(timeout=db.CONNECT_SECONDS) as connection,
            ):
                return await connection.fetch(db.queries()[query], *values)
        except db.DRIVER_ERRORS as exc:
            if db.is_away(exc):
                raise errors.DatabaseUnavailableError from exc
            raise

    def _keep(self, key: _Key, answer: msgspec.Struct) -> bytes:
        text = _encode(answer)
        self._kept.put(key, text)
        return text


def _student(row: db.Record) -> SeenStudent:
    return SeenStudent(row["student_id"], row["external_id"], row["class_id"], row["school_id"])
