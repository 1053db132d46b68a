"""How look-ups are put on record, many answers with one statement: a row for each student, or one for a group.

Either way the statement asks the primary whether the bearer sees each student at that moment, writes nothing of
whom it does not see, and gives those back: one set for each answer.
"""

from __future__ import annotations

import collections
from collections.abc import Iterable, Sequence
from typing import TypeAlias

import asyncpg

from geoingest import db, lookup

Connection: TypeAlias = "asyncpg.Connection[db.Record]"


async def write_rows(connection: Connection, batch: Sequence[lookup.Lookup]) -> list[set[int]]:
    """A row for each student of each answer; of whom none was written."""
    rows = [
        (number, *one.bearer, student_id, one.kind, one.window_from, one.window_to, shown)
        for number, one in enumerate(batch)
        for student_id, shown in one.rows.items()
    ]
    written = await connection.fetch(
        db.queries()["record_lookups"], *map(list, zip(*rows, strict=True))
    )
    students = collections.defaultdict[int, set[int]](set)
    for row in written:
        students[row["number"]].add(row["student_id"])
    return [one.rows.keys() - students[number] for number, one in enumerate(batch)]


async def write_groups(connection: Connection, batch: Sequence[lookup.Lookup]) -> list[set[int]]:
    """One row of each answer for those who have a position, and one for those who have none."""
    columns = (
        [one.bearer.viewer_id for one in batch],
        [one.bearer.session_id for one in batch],
        [_array(student for student, shown in one.rows.items() if shown) for one in batch],
        [_array(student for student, shown in one.rows.items() if not shown) for one in batch],
    )
    refused = await connection.fetch(db.queries()["record_many_lookups"], *columns)
    return [set(row["refused"]) for row in refused]


def _array(students: Iterable[int]) -> str:
    """As PostgreSQL writes it."""
    return "{" + ",".join(map(str, students)) + "}"
