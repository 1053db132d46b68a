"""The desk between questions and answers: who asks, may they, and on record before anything is shown."""

from __future__ import annotations

import datetime
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, Protocol, TypeVar

from geoingest import db, errors, lookup
from geoingest.tracking import replica

T = TypeVar("T")


class Permits(Protocol):
    """The port to access: may the bearer of this token see these students?"""

    async def require(self, connection: db.Connection, digest: bytes, student_id: int) -> int:
        """The viewer; UnauthenticatedError, or NotFoundError for foreign and unknown students alike."""
        ...

    async def students(
        self, connection: db.Connection, digest: bytes, wanted: list[int] | None, *, limit: int
    ) -> tuple[int, list[int]]:
        """The viewer, and those of the wanted students (None: all) that it may see."""
        ...


class Record(Protocol):
    """The port to the audit: returns once all are committed, or raises ServiceError."""

    async def __call__(self, lookups: Sequence[lookup.Lookup]) -> None: ...


class Question(NamedTuple):
    """Who asks, about whom, and what."""

    digest: bytes
    student_id: int
    kind: lookup.Kind
    start: datetime.datetime | None = None
    end: datetime.datetime | None = None


class Desk:
    """Every answer of the read side comes from here."""

    def __init__(self, permits: Permits, source: replica.Replica, record: Record) -> None:
        self._permits = permits
        self._source = source
        self._record = record

    async def answer(
        self, question: Question, query: replica.Query[T], count: Callable[[T], int | None]
    ) -> replica.Answer[T]:
        """What the viewer is shown of one student, which is on record by then with its rows."""
        viewer_id, answer = await self._ask(question, query)
        asked = lookup.Lookup(
            viewer_id,
            question.student_id,
            question.kind,
            question.start,
            question.end,
            count(answer.result),
        )
        await self._record([asked])
        return answer

    async def go_on(self, question: Question, query: replica.Query[T]) -> replica.Answer[T]:
        """More of what is on record already; whether the viewer still may is asked again."""
        _, answer = await self._ask(question, query)
        return answer

    async def _ask(
        self, question: Question, query: replica.Query[T]
    ) -> tuple[int, replica.Answer[T]]:
        async def permitted(connection: db.Connection) -> tuple[int, T]:
            viewer_id = await self._permits.require(
                connection, question.digest, question.student_id
            )
            return viewer_id, await query(connection)

        answer = await self._source.ask(permitted)
        viewer_id, result = answer.result
        return viewer_id, replica.Answer(result, answer.as_of, answer.source)

    async def answer_many(
        self,
        digest: bytes,
        wanted: list[int] | None,
        query: Callable[[db.Connection, list[int]], Awaitable[dict[int, T]]],
        *,
        limit: int,
    ) -> replica.Answer[list[T]]:
        """What is found of each student, which is on record by then, also of those without anything.

        NotFoundError unless all that are wanted may be seen; BadQueryError where all are too many.
        """

        async def permitted(connection: db.Connection) -> tuple[int, list[int], dict[int, T]]:
            viewer_id, students = await self._permits.students(
                connection, digest, wanted, limit=limit + 1
            )
            if len(students) > limit:
                raise errors.BadQueryError(f"more than {limit} students: name some")
            if wanted is not None and set(students) != set(wanted):
                raise errors.NotFoundError
            return viewer_id, students, await query(connection, students)

        answer = await self._source.ask(permitted)
        viewer_id, students, found = answer.result
        await self._record(
            [
                lookup.Lookup(viewer_id, one, "locations", None, None, int(one in found))
                for one in students
            ]
        )
        return replica.Answer(list(found.values()), answer.as_of, answer.source)
