"""Each statement of the read side says on whose behalf it asks, and what it said ends with it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from geoingest import db
from geoingest.access import provision
from geoingest.bearer import Bearer
from geoingest.local import roles
from geoingest.tracking import acting
from tests import conftest, guardians

_ALL = "SELECT DISTINCT student_id FROM geolocation_seen ORDER BY student_id LIMIT $1"


@pytest.fixture
def bearers(database: conftest.Database, school: list[provision.Enrolled]) -> dict[int, Bearer]:
    """The guardian of each student; all have a position."""
    for one in school:
        guardians.store(database, one.student_id, guardians.ago(minutes=1))
    rows = database.query("SELECT student_id, viewer_id FROM guardianships")
    return {int(str(student)): Bearer(int(str(viewer))) for student, viewer in rows}


@pytest.fixture
async def connection(database: conftest.Database) -> AsyncIterator[asyncpg.Connection[db.Record]]:
    """One of the role that reads."""
    made = await asyncpg.connect(conftest.as_role(database.url, roles.READ))
    yield made
    await made.close()


async def test_whoever_asked_before_is_not_who_asks_now(
    connection: asyncpg.Connection[db.Record], bearers: dict[int, Bearer]
) -> None:
    """On one connection, in turn, again and again; and who says nothing sees nobody."""
    for _ in range(8):
        for student_id, bearer in list(bearers.items())[:3]:
            asking = acting.Acting(connection, bearer, None)
            assert [row[0] for row in await asking.fetch(_ALL, 100)] == [student_id]
            assert await asking.fetchval(_ALL, 100) == student_id
            row = await asking.fetchrow(_ALL, 100)
            assert row is not None
            assert row[0] == student_id

            assert await connection.fetch(_ALL, 100) == []
            assert not await connection.fetchval("SELECT current_setting('app.viewer', TRUE)")


async def test_of_nobody_else_than_was_named(
    connection: asyncpg.Connection[db.Record], bearers: dict[int, Bearer]
) -> None:
    """Whom the bearer sees, and among these; of others there is nothing, nor of nobody."""
    (own, bearer), (other, _) = list(bearers.items())[:2]

    async def found(students: list[int] | None) -> list[int]:
        rows = await acting.Acting(connection, bearer, students).fetch(_ALL, 100)
        return [row[0] for row in rows]

    assert await found(None) == [own]
    assert await found([own, other]) == [own]
    assert await found([other]) == []
    assert await found([]) == []


async def test_a_statement_that_does_not_wait_for_it_shows_nothing(
    connection: asyncpg.Connection[db.Record], bearers: dict[int, Bearer]
) -> None:
    """Read before it is said who asks, a table is empty: the order that `said` forces is what lets anything be seen."""
    student_id, bearer = next(iter(bearers.items()))
    who = (bearer.viewer_id, bearer.share_id, [student_id])
    too_late = (
        f"WITH found AS MATERIALIZED ({_ALL}) SELECT * FROM found"  # noqa: S608  # our own words
        " CROSS JOIN LATERAL (SELECT act_as($2, $3, $4) WHERE found.student_id > 0) AS said"
    )

    assert await connection.fetch(too_late, 100, *who) == []
    assert len(await connection.fetch(acting.said(_ALL, 1), 100, *who)) == 1
