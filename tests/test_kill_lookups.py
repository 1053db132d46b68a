"""kill -9 of the service among a thousand questions: whoever was answered is on record."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from geoingest import db
from geoingest.access import provision
from tests import conftest, guardians, lookers, processes, rollups

# Look-ups answered before each kill, which so comes at another moment each time.
_ANSWERED = (200, 350, 150, 300, 250)
_OTHERS = 60


@pytest.fixture
def viewers(database: conftest.Database, school: list[provision.Enrolled]) -> list[lookers.Looker]:
    """Guardians of students with pings in three hours, all but the last."""
    for one in school[:-1]:
        instants = (guardians.ago(minutes=minutes) for minutes in (1, 2, 3, 90, 200))
        guardians.store(database, one.student_id, *instants)
    rollups.roll(database, guardians.ago(hours=1))
    with db.direct(database.url) as connection, connection.transaction():
        # So many that who sees all looks at them as a group.
        provision.bulk(connection, _OTHERS)
        _, everyone = provision.add_viewer(connection, None)
    return lookers.of(database, school, everyone)


async def _killed_among(
    service: processes.Service, viewers: Sequence[lookers.Looker], answered: int
) -> None:
    stop = asyncio.Event()
    before = _answered(viewers).total()
    async with asyncio.TaskGroup() as group:
        for viewer in viewers:
            group.create_task(viewer.run(service.url, stop))
        await conftest.until(lambda: _answered(viewers).total() >= before + answered, seconds=30)
        service.kill()
        stop.set()


def _answered(viewers: Sequence[lookers.Looker]) -> lookers.Counts:
    return lookers.total(one.answered for one in viewers)


async def test_kill_9_forgets_no_look_that_was_answered(
    database: conftest.Database, viewers: list[lookers.Looker]
) -> None:
    """Every look-up answered before a kill -9 is on record once for each student; no other one is but in doubt."""
    for answered in _ANSWERED:
        async with processes.serving(database) as service:
            await _killed_among(service, viewers, answered)

    told, asked = _answered(viewers), lookers.total(one.asked for one in viewers)
    recorded = lookers.recorded(database)
    assert told - recorded == {}
    assert recorded - asked == {}
    assert told.total() >= sum(_ANSWERED)
    # Every kind was among them, and so were questions that a kill cut.
    assert {one.kind for one in told} == {
        "location",
        "locations",
        "track",
        "export",
        "days",
        "lookups",
    }
    assert asked != told


async def test_the_check_finds_a_service_that_shows_before_it_records(
    database: conftest.Database, viewers: list[lookers.Looker]
) -> None:
    """A build that answers first and records later does not pass the same check."""
    async with processes.serving(database, module="tests.broken.shows_unrecorded") as service:
        await _killed_among(service, viewers, _ANSWERED[0])

    assert _answered(viewers) - lookers.recorded(database)
