"""Guardians who ask everything there is to ask, and how what they were answered compares with the record."""

from __future__ import annotations

import asyncio
import collections
import itertools
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import aiohttp

from geoingest.access import provision
from geoingest.tracking import formats
from tests import conftest


class Key(NamedTuple):
    """Who looked at whom, and how."""

    viewer_id: int
    student_id: int
    kind: str


class Look(NamedTuple):
    """One question: what the record calls it, its address and what is accepted."""

    kind: str
    path: str
    accept: str = "*/*"


Counts = collections.Counter[Key]

_OF_ONE = (
    Look("location", "location"),
    Look("track", "track?limit=3"),
    Look("track", "track?resolution=hour", "application/geo+json"),
    Look("export", "track", formats.CSV.content_type),
    Look("export", "track?resolution=raw", formats.GPX.content_type),
    Look("days", "days"),
    Look("lookups", "lookups?limit=2"),
)


class Looker:
    """One viewer, the students it may see, those of whom it asks one by one, and one whom it may not see."""

    def __init__(
        self,
        viewer_id: int,
        token: str,
        seen: Sequence[int],
        students: Sequence[int],
        foreign: int,
    ) -> None:
        self._viewer_id = viewer_id
        self._headers = {"Authorization": f"Bearer {token}"}
        self._seen = seen
        self._looks = itertools.cycle(_looks(students, foreign))
        self._foreign = foreign
        self.asked: Counts = Counts()
        self.answered: Counts = Counts()

    async def run(self, url: str, stop: asyncio.Event) -> None:
        """Asks one after the other until told to stop, or until the service is gone."""
        async with aiohttp.ClientSession(url, headers=self._headers) as session:
            while not stop.is_set():
                try:
                    await self.look(session)
                except aiohttp.ClientError:
                    return

    async def look(self, session: aiohttp.ClientSession) -> None:
        """The next question; it is answered once its status is here, whatever becomes of the rest."""
        student_id, look = next(self._looks)
        shown = self._seen if student_id is None else [student_id]
        keys = [Key(self._viewer_id, one, look.kind) for one in shown]
        if student_id != self._foreign:
            self.asked.update(keys)
        async with session.get(look.path, headers={"Accept": look.accept}) as got:
            if student_id == self._foreign:
                assert got.status == 404, await got.text()
                return
            if got.status == 503:
                assert "Retry-After" in got.headers
                return
            self.answered.update(keys)
            # That there is no position is an answer, too.
            assert got.status == 200 or "no_position" in await got.text()
            await got.read()


def of(
    database: conftest.Database, school: Sequence[provision.Enrolled], everyone: str
) -> list[Looker]:
    """A guardian for each student, to whom the next is a stranger; and one who sees all."""
    query = "SELECT student_id, viewer_id FROM guardianships"
    viewers = {student_id: int(str(one)) for student_id, one in database.query(query)}
    ((all_seeing,),) = database.query("SELECT viewer_id FROM viewers WHERE sees_all")
    students = [one.student_id for one in school]
    guardians = [
        Looker(viewers[own], one.viewer_token, [own], [own], stranger)
        for own, one, stranger in zip(students, school, students[1:] + students[:1], strict=True)
    ]
    all_students = [int(str(one)) for (one,) in database.query("SELECT student_id FROM students")]
    head = Looker(int(str(all_seeing)), everyone, all_students, students, foreign=10**9)
    return [*guardians, head]


def recorded(database: conftest.Database) -> Counts:
    """What is on record."""
    query = """
    SELECT viewer_id, student_id, kind, count(*) FROM lookups GROUP BY 1, 2, 3
    UNION ALL
    SELECT viewer_id, student_id, 'locations', count(*)
    FROM group_lookups JOIN lookup_group_students USING (group_id)
    GROUP BY 1, 2, 3
    """
    counts = Counts()
    for *key, times in database.query(query):
        counts[Key(*key)] += times  # type: ignore[arg-type,operator]  # these columns
    return counts


def total(counts: Iterable[Counts]) -> Counts:
    """The sum of all."""
    return sum(counts, Counts())


def _looks(students: Sequence[int], foreign: int) -> list[tuple[int | None, Look]]:
    """Every question about each student, about the stranger now and then, and about all."""
    looks: list[tuple[int | None, Look]] = []
    for student_id in students:
        looks += [
            (student_id, look._replace(path=f"/v1/students/{student_id}/{look.path}"))
            for look in _OF_ONE
        ]
        looks.append((foreign, Look("location", f"/v1/students/{foreign}/location")))
        looks.append((None, Look("locations", "/v1/locations")))
    return looks
