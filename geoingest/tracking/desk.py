"""The desk between questions and answers: who asks, may they, and on record before anything is shown.

Two walls stand between a question and what is not meant for it:

1. The application's: only what was put on record is shown, and `record` puts nothing on record of whom the
   bearer does not see in that moment, by the primary's own word.
2. The database's: each statement says on whose behalf it asks (`acting`), and row-level security gives it no
   row of anybody else.
"""

from __future__ import annotations

import datetime
from collections.abc import Awaitable, Callable
from typing import NamedTuple, Protocol, TypeAlias, TypeVar

import asyncpg

from geoingest import db, errors, lookup, seats
from geoingest.bearer import Bearer
from geoingest.tracking import acting, replica

T = TypeVar("T")
Query: TypeAlias = Callable[[acting.Asking], Awaitable[T]]

# A guess: what a guardian may have, and a class.
_FEW = 50


class Bearers(Protocol):
    """The port to access: whose is a token?"""

    async def find(self, token: str) -> Bearer:
        """The bearer, as far as is known; UnauthenticatedError, TooManyRequestsError."""
        ...

    async def confirm(self, token: str) -> Bearer:
        """The bearer, as of now; UnauthenticatedError."""
        ...

    async def require(self, bearer: Bearer, student_id: int) -> None:
        """NotFoundError, for foreign and unknown students alike, unless the bearer sees the student now."""
        ...

    def school(self, bearer: Bearer) -> int:
        """The school with which the bearer shares its seats."""
        ...


class Record(Protocol):
    """The port to the audit."""

    def require_open(self) -> None:
        """ServiceError while nothing can be put on record."""
        ...

    async def record(self, one: lookup.Lookup) -> set[int]:
        """Once it is committed, or ServiceError: the students whom the bearer does not see, and who are left out."""
        ...


class Records(NamedTuple):
    """Where look-ups are recorded: of `many` students as a group, and elsewhere, so that they keep nobody waiting."""

    few: Record
    many: Record


class Question(NamedTuple):
    """Who asks, about whom, and what."""

    token: str
    student_id: int
    kind: lookup.Kind
    start: datetime.datetime | None = None
    end: datetime.datetime | None = None


class Desk:
    """Every answer of the read side comes from here."""

    def __init__(
        self, bearers: Bearers, room: seats.Seats, source: replica.Replica, records: Records
    ) -> None:
        self._bearers = bearers
        self._seats = room
        self._source = source
        self._records = records

    async def answer(
        self, question: Question, query: Query[T], count: Callable[[T], int | None]
    ) -> replica.Answer[T]:
        """What the bearer is shown of one student, which is on record by then with its rows."""
        self._records.few.require_open()
        bearer = await self._bearers.find(question.token)
        if bearer.share_id and question.kind not in lookup.BY_SHARE:
            raise errors.NotFoundError
        answer = await self._ask(bearer, [question.student_id], query)
        rows = {question.student_id: count(answer.result)}
        asked = lookup.Lookup(bearer, question.kind, question.start, question.end, rows)
        if await self._records.few.record(asked):
            await self._bearers.confirm(question.token)
            raise errors.NotFoundError
        return answer

    async def go_on(self, question: Question, query: Query[T]) -> replica.Answer[T]:
        """More of what is on record already; whether the bearer still may see it is asked again."""
        bearer = await self._bearers.confirm(question.token)
        answer = await self._ask(bearer, [question.student_id], query)
        await self._bearers.require(bearer, question.student_id)
        return answer

    async def answer_many(
        self,
        token: str,
        wanted: list[int] | None,
        query: Callable[[acting.Asking, list[int]], Awaitable[dict[int, T]]],
        *,
        limit: int,
    ) -> replica.Answer[list[T]]:
        """What is found of each student, which is on record by then, also of those without anything.

        NotFoundError unless all that are wanted may be seen; BadQueryError where all are too many.
        """

        async def permitted(asking: acting.Asking) -> tuple[list[int], dict[int, T]]:
            rows = await asking.fetch(db.queries()["seen_students"], limit + 1)
            students = [row["student_id"] for row in rows]
            if len(students) > limit:
                raise errors.BadQueryError(f"more than {limit} students: name some")
            if wanted is not None and len(students) < len(set(wanted)):
                return [], {}
            return students, await query(asking, students)

        self._records.few.require_open()
        bearer = await self._bearers.find(token)
        answer = await self._ask(bearer, wanted, permitted)
        students, found = answer.result
        rows = {one: int(one in found) for one in students}
        record = self._records.few if len(rows) <= _FEW else self._records.many
        refused = await record.record(lookup.Lookup(bearer, "locations", None, None, rows))
        if len(refused) == len(rows) or (refused and wanted is not None):
            # Nobody is seen by who is still known, or somebody is not who was wanted.
            await self._bearers.confirm(token)
            if wanted is not None:
                raise errors.NotFoundError
        locations = [place for one, place in found.items() if one not in refused]
        return replica.Answer(locations, answer.as_of, answer.source)

    async def _ask(
        self, bearer: Bearer, students: list[int] | None, query: Query[T]
    ) -> replica.Answer[T]:
        """On behalf of the bearer, and of nobody but these students."""

        async def ask(connection: db.Connection) -> T:
            try:
                return await query(acting.Acting(connection, bearer, students))
            except (errors.HttpError, asyncpg.PostgresError):
                raise
            except BaseException:
                # Handed back whole, it would be waited for: the server may hang.
                connection.terminate()
                raise

        async with self._seats.of(self._bearers.school(bearer)):
            return await self._source.ask(ask)
