"""Who sees a student in school hours only does so by the school's own clock, and nothing from before that morning."""

from __future__ import annotations

import datetime
from typing import Any, NamedTuple

import pytest

from geoingest.access import provision, tokens
from geoingest.tracking import formats
from tests import conftest, towns, guardians, links, rollups

MINUTE, HOUR = datetime.timedelta(minutes=1), datetime.timedelta(hours=1)
NOW = towns.clock()
# Two hours ago; by the whole minute, as a ping is.
OPENED = NOW.opened_at
# On four days in three zones: at home, where summer time begins and ends, and far from whole hours.
CASES = [
    ("Europe/Berlin", "2026-11-23T07:44:59+01:00", None),
    ("Europe/Berlin", "2026-11-23T07:45:00+01:00", "2026-11-23T06:45:00Z"),
    ("Europe/Berlin", "2026-11-23T15:59:59+01:00", "2026-11-23T06:45:00Z"),
    ("Europe/Berlin", "2026-11-23T16:00:00+01:00", None),
    # A Saturday, a Sunday, and a Monday on which it is closed.
    ("Europe/Berlin", "2026-11-21T10:00:00+01:00", None),
    ("Europe/Berlin", "2026-11-22T10:00:00+01:00", None),
    ("Europe/Berlin", "2026-11-30T10:00:00+01:00", None),
    # The last school day of winter time, and the first of summer time: an hour earlier in UTC.
    ("Europe/Berlin", "2027-03-26T06:50:00Z", "2027-03-26T06:45:00Z"),
    ("Europe/Berlin", "2027-03-26T05:50:00Z", None),
    ("Europe/Berlin", "2027-03-29T05:50:00Z", "2027-03-29T05:45:00Z"),
    ("Europe/Berlin", "2027-03-29T14:30:00Z", None),
    # And back.
    ("Europe/Berlin", "2027-10-29T05:50:00Z", "2027-10-29T05:45:00Z"),
    ("Europe/Berlin", "2027-11-01T05:50:00Z", None),
    ("Europe/Berlin", "2027-11-01T14:59:00Z", "2027-11-01T06:45:00Z"),
    # Monday there, Sunday in UTC; and Friday in UTC, Saturday there.
    ("Pacific/Auckland", "2026-11-22T19:00:00Z", "2026-11-22T18:45:00Z"),
    ("Pacific/Auckland", "2026-11-27T19:00:00Z", None),
    ("Asia/Kathmandu", "2026-11-23T02:00:00Z", "2026-11-23T02:00:00Z"),
    ("Asia/Kathmandu", "2026-11-23T01:59:59Z", None),
]


@pytest.mark.parametrize(("zone", "at", "opened_at"), CASES)
def test_a_school_is_open_by_its_own_clock(
    database: conftest.Database, zone: str, at: str, opened_at: str | None
) -> None:
    """Hours, weekdays and holidays are the school's, also where summer time moves them, to the second."""
    database.query(
        "INSERT INTO schools (school_id, time_zone, opens_at, closes_at)"
        " VALUES (1, $1, '07:45', '16:00')",
        zone,
    )
    database.query("INSERT INTO school_holidays VALUES (1, '2026-11-30')")
    ((function,),) = database.query(
        "SELECT pg_get_functiondef('school_opened_at(integer)'::regprocedure)"
    )
    # The database's clock cannot be set: the same function, with an instant in place of it.
    at_instant = str(function).replace("of_school integer)", "of_school integer, at timestamptz)")
    assert at_instant.count("now()") == 1
    database.query(at_instant.replace("now()", "at"))

    found = database.query("SELECT school_opened_at(1, $1::timestamptz)", at)

    assert found == [(opened_at and datetime.datetime.fromisoformat(opened_at),)]


def test_a_school_without_hours_is_never_open(database: conftest.Database) -> None:
    """So who may look during them never may."""
    database.query("INSERT INTO schools (school_id) VALUES (1)")

    assert database.query("SELECT school_opened_at(1), school_opened_at(2)") == [(None, None)]


class _Looker(NamedTuple):
    """A guardian who may look in school hours only, and one who always may."""

    of_hours: guardians.Guardian
    always: guardians.Guardian
    path: str
    database: conftest.Database

    def school(self, **columns: object) -> None:
        """Changes the school, or its holidays."""
        for name, value in columns.items():
            self.database.query(f"UPDATE schools SET {name} = $1", value)  # noqa: S608  # the tests' own words


@pytest.fixture
async def looker(
    database: conftest.Database, start: conftest.Start, school: list[provision.Enrolled]
) -> _Looker:
    """A school that is open since two hours, a student with pings of yesterday, of before it opened, and of since."""
    database.query(
        "INSERT INTO schools (school_id, time_zone, opens_at, closes_at, weekdays)"
        " VALUES (1, $1, $2, $3, '{1,2,3,4,5,6,7}')",
        NOW.zone,
        (NOW.local - 2 * HOUR).time(),
        (NOW.local + 3 * HOUR).time(),
    )
    child, other = school[0], school[1]
    database.query("UPDATE students SET school_id = 1")
    database.query(
        "UPDATE guardianships SET school_hours_only = TRUE WHERE student_id = $1", child.student_id
    )
    database.query(
        "INSERT INTO guardianships (viewer_id, student_id)"
        " SELECT viewer_id, $1 FROM viewers WHERE token_digest = $2",
        child.student_id,
        tokens.digest(other.viewer_token),
    )
    instants = [OPENED - 25 * HOUR, OPENED - MINUTE, OPENED, OPENED + HOUR + MINUTE]
    guardians.store(database, child.student_id, *instants)
    rollups.roll(database, NOW.now.replace(minute=0, second=0, microsecond=0))
    running = await start(database.settings(database_replica_url=links.replica_of(database)))
    await conftest.until(lambda: running.service.replica.in_use)
    return _Looker(
        guardians.Guardian(running, child.viewer_token),
        guardians.Guardian(running, other.viewer_token),
        f"/v1/students/{child.student_id}",
        database,
    )
