"""A student's days: one line for each date at the school on which there was a ping."""

from __future__ import annotations

import datetime

import pytest

from geoingest import db
from geoingest.access import provision
from tests import conftest, guardians, rollups

PATH = "/v1/students/1/days"
TODAY = datetime.datetime.now(datetime.UTC).date()
ROLLUP_DAYS = 40


@pytest.fixture
async def guardian(
    database: conftest.Database, start: conftest.Start, school: list[provision.Enrolled]
) -> guardians.Guardian:
    """May see all students of a service that keeps days for forty days."""
    with db.direct(database.url) as connection:
        token = provision.add_viewer(connection, None)[1]
    settings = database.settings(database_replica_url="", rollup_days=ROLLUP_DAYS)
    return guardians.Guardian(await start(settings), token)


def _noon(day: datetime.date) -> datetime.datetime:
    return datetime.datetime.combine(day, datetime.time(12), datetime.UTC)


def _back(days: int) -> datetime.date:
    return TODAY - datetime.timedelta(days=days)


def _seen_on(database: conftest.Database, *days: int) -> None:
    """Two pings a minute apart and 100 m, around noon so many days ago."""
    minute = datetime.timedelta(minutes=1)
    for day in days:
        noon = _noon(_back(day))
        fixes = [rollups.Fix(noon, 5, 52.5, 13.4), rollups.Fix(noon + minute, 5, 52.5009, 13.4)]
        rollups.store(database, 1, fixes)
    rollups.roll(database, _noon(TODAY) + 2 * rollups.HOUR)


async def test_a_day_says_how_far_how_long_and_when(
    guardian: guardians.Guardian, database: conftest.Database
) -> None:
    """Exactly these members, complete up to the last hour that is rolled up, in no cache."""
    _seen_on(database, 2)
    rolled_to = rollups.now().replace(minute=0, second=0)
    database.query("UPDATE rollup_state SET watermark = $1, rolled_to = $1", rolled_to)

    answer = await guardian.ask(PATH)

    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
    assert answer.headers["Cache-Control"] == "no-store"
    noon = f"{_back(2)}T12"
    assert answer.body == {
        "student_id": 1,
        "days": [
            {
                "day": str(_back(2)),
                "pings": 2,
                "first_at": f"{noon}:00:00Z",
                "last_at": f"{noon}:01:00Z",
                "distance_m": pytest.approx(100.1, abs=0.1),
                "moving_seconds": 60.0,
                "max_speed": None,
            }
        ],
        "as_of": rolled_to.isoformat().replace("+00:00", "Z"),
        "source": "primary",
    }


async def test_both_ends_are_days_of_the_answer(
    guardian: guardians.Guardian, database: conftest.Database
) -> None:
    """The last thirty days unless said otherwise; nothing from before the rollups' horizon."""
    _seen_on(database, 1, 2, 3, 28, 29, 30, 39, 40, 41)

    found = {
        tuple(asked.items()): [one["day"] for one in answer.body["days"]]
        for asked in (
            {},
            {"from": _back(3), "to": _back(2)},
            {"to": _back(1)},
            {"from": _back(29)},
            {"from": "1970-01-01", "to": "9999-12-31"},
            {"from": "9999-12-31", "to": "9999-12-31"},
            {"to": "0001-01-01"},
        )
        for answer in [
            await guardian.ask(PATH, **{name: str(value) for name, value in asked.items()})
        ]
    }

    def days(*back: int) -> list[str]:
        return [str(_back(one)) for one in back]

    kept = [one for one in (41, 40, 39) if _noon(_back(one)) >= rollups.now() - 40 * rollups.DAY]
    assert list(found.values()) == [
        days(29, 28, 3, 2, 1),
        days(3, 2),
        days(30, 29, 28, 3, 2, 1),
        days(29, 28, 3, 2, 1),
        days(*kept, 30, 29, 28, 3, 2, 1),
        [],
        [],
    ]


@pytest.mark.parametrize("zone", ["Asia/Kolkata", "Pacific/Kiritimati", "America/Los_Angeles"])
async def test_a_day_is_that_of_the_school(
    guardian: guardians.Guardian, database: conftest.Database, zone: str
) -> None:
    """What was sent at midnight at the school belongs to the new date; today is shown wherever it is."""
    database.query("INSERT INTO schools (school_id, time_zone) VALUES (1, $1)", zone)
    database.query("UPDATE students SET school_id = 1 WHERE student_id = 1")
    midnight = database.query("SELECT date_trunc('day', now() - interval '1 hour', $1)", zone)
    here = database.query("SELECT (now() - interval '1 hour') AT TIME ZONE $1", zone)[0][0]
    (begin,) = midnight[0]
    assert isinstance(begin, datetime.datetime)
    assert isinstance(here, datetime.datetime)
    before = begin - datetime.timedelta(minutes=1)
    rollups.store(database, 1, [rollups.Fix(one, 5, 52.5, 13.4) for one in (before, begin)])
    rollups.roll(database, rollups.now() + rollups.HOUR)

    answer = await guardian.ask(PATH)

    today = here.date()
    assert [(one["day"], one["pings"]) for one in answer.body["days"]] == [
        (str(today - rollups.DAY), 1),
        (str(today), 1),
    ]
    assert [guardians.instant(one, "first_at") for one in answer.body["days"]] == [before, begin]


async def test_a_bad_parameter_is_named(
    guardian: guardians.Guardian, subtests: pytest.Subtests
) -> None:
    """A date and nothing else: 400 whose detail begins with what is wrong."""
    later = str(_back(-30))
    wrong = [("from", one) for one in ("yesterday", "", "2026-W01-1", "20261122", "2026-02-30")]
    wrong += [("to", one) for one in ("2026-11-22T00:00:00Z", "2026-1-2", "0000-01-01")]
    wrong += [("from", later), ("limit", "5"), ("cursor", "x"), ("resolution", "day")]

    for name, value in wrong:
        with subtests.test(f"{name}={value}"):
            answer = await guardian.ask(PATH, **{name: value})

            assert (answer.status, answer.body["reason"]) == (400, "bad_query")
            assert answer.body["detail"].startswith(f"{name}:")


async def test_foreign_and_unknown_students_look_alike(
    guardian: guardians.Guardian, school: list[provision.Enrolled]
) -> None:
    """404 alike; without a viewer's token 401; a student of one's own without a ping has no days."""
    own = guardians.Guardian(guardian.running, school[0].viewer_token)
    others = (school[1].student_id, 10**9, 2**63, 0)

    hidden = [await own.ask(f"/v1/students/{one}/days") for one in others]
    device = guardians.Guardian(guardian.running, school[0].device_token)
    refused = await device.ask(f"/v1/students/{school[0].student_id}/days")
    empty = await own.ask(f"/v1/students/{school[0].student_id}/days")

    assert {(one.status, one.raw) for one in hidden} == {(404, hidden[0].raw)}
    assert refused.status == 401
    assert (empty.status, empty.body["days"]) == (200, [])
    # Nothing was rolled up yet.
    assert empty.body["as_of"] == "2000-01-01T00:00:00Z"
