"""Who sees a student in school hours only does so by the school's own clock, and nothing from before that morning."""

from __future__ import annotations

import datetime
import secrets
from typing import Any, NamedTuple

import aiohttp
import pytest

from geoingest.access import provision, tokens
from geoingest.tracking import formats
from tests import conftest, guardians, rollups, towns

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
    # Without a replica, so that what is changed is seen at once.
    running = await start(database.settings(database_replica_url=""))
    return _Looker(
        guardians.Guardian(running, child.viewer_token),
        guardians.Guardian(running, other.viewer_token),
        f"/v1/students/{child.student_id}",
        database,
    )


async def test_nothing_from_before_the_morning_is_shown(looker: _Looker) -> None:
    """Newest position, pings, hours, days, a file, who looked: only of since the school has opened."""
    day = NOW.now.date() - datetime.timedelta(days=2)
    window = {"from": (OPENED - 48 * HOUR).isoformat()}
    days = {"from": day.isoformat(), "to": (day + datetime.timedelta(days=4)).isoformat()}
    shown = [OPENED, OPENED + HOUR + MINUTE]

    async def ask(what: str, **query: Any) -> tuple[guardians.Answer, guardians.Answer]:
        path = f"{looker.path}/{what}"
        return await looker.always.ask(path, **query), await looker.of_hours.ask(path, **query)

    _, location = await ask("location")
    all_pings, pings = await ask("track", **window, resolution="raw")
    all_hours, hours = await ask("track", **window, resolution="hour")
    all_of_days, of_days = await ask("track", **window, resolution="day")
    _, automatic = await ask("track", **window)
    all_lines, lines = await ask("track", **window, accept=formats.CSV.content_type)
    all_days, no_days = await ask("days", **days)
    all_lookups, no_lookups = await ask("lookups")

    assert guardians.instant(location.body) == shown[-1]
    assert [guardians.instant(one) for one in pings.body["points"]] == shown
    assert [guardians.instant(one) for one in automatic.body["points"]] == shown
    assert len(all_pings.body["points"]) == 4
    assert all(guardians.instant(one) >= OPENED for one in hours.body["points"])
    assert len(all_hours.body["points"]) > len(hours.body["points"])
    assert all_of_days.body["points"]
    assert of_days.body["points"] == []
    assert (len(all_lines.raw.splitlines()), len(lines.raw.splitlines())) == (5, 3)
    assert all_days.body["days"]
    assert no_days.body["days"] == []
    assert all_lookups.body["lookups"]
    assert no_lookups.body["lookups"] == []


async def test_who_has_no_ping_since_then_has_no_position(looker: _Looker) -> None:
    """The last one of before is not shown instead."""
    looker.database.query('DELETE FROM geolocation_data WHERE "timestamp" >= $1', OPENED)

    answers = [await one.ask(f"{looker.path}/location") for one in (looker.always, looker.of_hours)]

    assert answers[0].status == 200
    assert (answers[1].status, answers[1].body["reason"]) == (404, "no_position")


@pytest.mark.parametrize("closing", ["over", "not yet", "day off", "holiday", "no hours"])
async def test_while_the_school_is_closed_there_is_no_such_student(
    looker: _Looker, closing: str
) -> None:
    """After hours, before them, on a weekday without lessons, on a holiday, without hours: 404, as for none at all."""
    before = await looker.of_hours.ask(f"{looker.path}/location")
    if closing == "over":
        looker.school(closes_at=(NOW.local - HOUR).time())
    elif closing == "not yet":
        looker.school(opens_at=(NOW.local + HOUR).time())
    elif closing == "day off":
        looker.school(weekdays=[day for day in range(1, 8) if day != NOW.local.isoweekday()])
    elif closing == "holiday":
        looker.database.query("INSERT INTO school_holidays VALUES (1, $1)", NOW.local.date())
    else:
        looker.database.query("UPDATE schools SET opens_at = NULL, closes_at = NULL")

    paths = [f"{looker.path}/{what}" for what in ("location", "track", "days", "lookups")]
    hidden = [await looker.of_hours.ask(path) for path in paths]
    hidden.append(await looker.of_hours.ask(f"{looker.path}/track", accept="text/csv"))
    unknown = await looker.of_hours.ask("/v1/students/987654/location")
    many = await looker.of_hours.ask("/v1/locations")
    other = await looker.always.ask(f"{looker.path}/location")

    assert before.status == 200
    assert {(one.status, one.raw) for one in hidden} == {(404, unknown.raw)}
    assert many.body["locations"] == []
    assert other.status == 200


async def test_a_file_ends_where_school_does(looker: _Looker) -> None:
    """What is asked for while a file is sent is asked for by the rule of that moment."""
    guardians.store(
        looker.database,
        int(looker.path.rpartition("/")[2]),
        *(OPENED + datetime.timedelta(milliseconds=100 * one + 7) for one in range(40_000)),
    )
    client, headers = looker.of_hours.running.client, looker.of_hours.headers("text/csv")

    async with client.get(f"{looker.path}/track?resolution=raw", headers=headers) as answer:
        await answer.content.readline()
        looker.school(closes_at=(NOW.local - HOUR).time())
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()

    assert answer.status == 200


async def test_by_a_share_it_is_the_same(looker: _Looker) -> None:
    """Whoever was given a link sees what its maker sees, in hours only."""
    token = secrets.token_urlsafe()
    looker.database.query(
        "INSERT INTO shares (student_id, viewer_id, token_digest, ends_at)"
        " SELECT student_id, viewer_id, $1, now() + interval '1 hour' FROM guardianships"
        " WHERE school_hours_only",
        tokens.digest(token),
    )
    shared = guardians.Guardian(looker.of_hours.running, token)

    within = await shared.ask(f"{looker.path}/track", resolution="raw")
    looker.school(closes_at=(NOW.local - HOUR).time())
    after = await shared.ask(f"{looker.path}/track", resolution="raw")

    assert len(within.body["points"]) == 2
    assert after.status == 404
