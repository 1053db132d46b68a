"""Pages of hours and days over HTTP: their members, how current they are, and where they end."""

from __future__ import annotations

import datetime

import pytest

from geoingest import db
from geoingest.access import provision
from geoingest.tracking import cursor
from tests import conftest, guardians, rollups

PATH = "/v1/students/1/track"
GEOJSON = "application/geo+json"
DETAIL_DAYS, ROLLUP_DAYS = 3, 6
MINUTE = datetime.timedelta(minutes=1)
BOX = {"south": 52.5, "west": 13.4, "north": 52.5018, "east": 13.4}
SUM = {
    "latitude": pytest.approx(52.5009),
    "longitude": 13.4,
    "accuracy": None,
    "pings": 3,
    "distance_m": pytest.approx(200.2, abs=0.1),
    "moving_seconds": 120.0,
    "max_speed": None,
    **BOX,
}


@pytest.fixture
async def guardian(
    database: conftest.Database, start: conftest.Start, school: list[provision.Enrolled]
) -> guardians.Guardian:
    """May see all students of a service that keeps pings for three days and rollups for six."""
    with db.direct(database.url) as connection:
        token = provision.add_viewer(connection, None)[1]
    settings = database.settings(
        database_replica_url="", detail_days=DETAIL_DAYS, rollup_days=ROLLUP_DAYS
    )
    return guardians.Guardian(await start(settings), token)


def _walk(begin: datetime.datetime) -> list[rollups.Fix]:
    """200 m to the north in two minutes."""
    return [rollups.Fix(begin + one * MINUTE, 5, 52.5 + one * 0.0009, 13.4) for one in range(3)]


def _hour(back: int) -> datetime.datetime:
    """The beginning of an hour, so many hours before the tests began."""
    return guardians.NOW.replace(minute=0, second=0) - back * rollups.HOUR


def _text(instant: datetime.datetime) -> str:
    return instant.isoformat().replace("+00:00", "Z")


async def test_hours_and_days_have_their_own_members(
    guardian: guardians.Guardian, database: conftest.Database
) -> None:
    """An hour begins at its timestamp, a day has a date; complete up to what is rolled up."""
    walk, rolled_to = _walk(_hour(30)), _hour(1)
    rollups.store(database, 1, walk)
    rollups.roll(database, rolled_to)
    asked = {"from": _hour(60).isoformat(), "to": _hour(0).isoformat()}

    answers = {
        (resolution, accept): await guardian.ask(
            PATH, accept=accept, resolution=resolution, **asked
        )
        for resolution in ("hour", "day")
        for accept in ("application/json", GEOJSON)
    }

    ends = {"first_at": _text(walk[0].timestamp), "last_at": _text(walk[-1].timestamp)}
    begins = {
        "hour": {"timestamp": _text(_hour(30))},
        "day": {"day": str(walk[0].timestamp.date())},
    }
    for (resolution, accept), answer in answers.items():
        point = {**begins[resolution], **SUM, **ends}
        about = {
            "student_id": 1,
            "resolution": resolution,
            "next": None,
            "as_of": _text(rolled_to),
            "source": "primary",
        }
        if accept == GEOJSON:
            place = {"type": "Point", "coordinates": [point["longitude"], point["latitude"]]}
            properties = {k: v for k, v in point.items() if k not in {"latitude", "longitude"}}
            feature = {"type": "Feature", "geometry": place, "properties": properties}
            assert answer.body == {"type": "FeatureCollection", "features": [feature], **about}
        else:
            assert answer.body == {"points": [point], **about}
        assert answer.headers["Cache-Control"] == "no-store"


async def test_one_cursor_walks_from_hours_to_pings(
    guardian: guardians.Guardian, database: conftest.Database
) -> None:
    """Each page says which it has, and how current that is; the last leads nowhere."""
    border = rollups.now() - DETAIL_DAYS * rollups.DAY
    old, new = _walk(border - 90 * MINUTE), _walk(border + 90 * MINUTE)
    rollups.store(database, 1, old + new)
    rollups.roll(database, _hour(1))
    window = {"from": (border - rollups.DAY).isoformat()}

    first = await guardian.ask(PATH, **window)
    second = await guardian.ask(PATH, **window, cursor=first.body["next"])

    assert [one.body["resolution"] for one in (first, second)] == ["hour", "raw"]
    assert sum(one["pings"] for one in first.body["points"]) == 3
    assert [guardians.instant(one) for one in second.body["points"]] == [
        one.timestamp for one in new
    ]
    assert first.body["as_of"] == _text(_hour(1)) < second.body["as_of"]
    assert second.body["next"] is None


async def test_what_is_not_rolled_up_yet_follows_as_pings(
    guardian: guardians.Guardian, database: conftest.Database
) -> None:
    """Too many pings for a page become hours up to the last one that is rolled up; the rest is not lost."""
    walks = [_walk(_hour(back)) for back in (8, 6, 4, 2)]
    rollups.store(database, 1, [fix for walk in walks for fix in walk])
    rollups.roll(database, _hour(3))
    window = {"from": _hour(10).isoformat(), "limit": "5"}

    first = await guardian.ask(PATH, **window)
    second = await guardian.ask(PATH, **window, cursor=first.body["next"])

    assert [one["timestamp"] for one in first.body["points"]] == [
        _text(_hour(back)) for back in (8, 6, 4)
    ]
    assert [one["timestamp"] for one in second.body["points"]] == [
        _text(one.timestamp) for one in walks[-1]
    ]
    assert second.body["next"] is None


async def test_nothing_is_readable_from_before_its_horizon(
    guardian: guardians.Guardian, database: conftest.Database
) -> None:
    """Whatever the window, the resolution, the representation or a cursor of one's own making."""
    # A full hour, so that each walk lies in one.
    now = rollups.now().replace(minute=0, second=0, microsecond=0)
    gone = now - ROLLUP_DAYS * rollups.DAY - 2 * rollups.HOUR
    detail_gone = now - DETAIL_DAYS * rollups.DAY - 2 * rollups.HOUR
    rollups.store(database, 1, [*_walk(gone), *_walk(detail_gone)])
    rollups.roll(database, _hour(1))
    ever = {"from": "2020-01-01T00:00:00Z", "to": _text(now + rollups.DAY)}
    forged = [
        cursor.Cursor("raw", timestamp=gone - rollups.DAY),
        cursor.Cursor("hour", timestamp=gone - rollups.DAY),
        cursor.Cursor("hour", to_end=True, timestamp=gone - rollups.DAY),
        cursor.Cursor("day", to_end=True, timestamp=gone - rollups.DAY),
    ]

    asked = [{"resolution": one} for one in ("raw", "hour", "day", "auto")]
    asked += [{"cursor": cursor.write(one) or ""} for one in forged]
    pages = [await guardian.ask(PATH, **ever, **one) for one in asked]
    file = await guardian.ask(PATH, accept="text/csv", **ever)

    seen = [
        point.get("first_at") or point["timestamp"]
        for page in pages
        for point in page.body["points"]
    ]
    assert len(pages) == 8
    assert all(page.status == 200 for page in pages)
    assert set(seen) == {_text(detail_gone)}
    assert [page.body["points"] for page in (pages[0], pages[4])] == [[], []]
    assert file.raw.decode().count("\n") == 2
    assert "\nhour," in file.raw.decode()


async def test_a_cursor_belongs_to_its_resolution(
    guardian: guardians.Guardian, database: conftest.Database
) -> None:
    """One of hours is refused where pings are asked for, by its name."""
    rollups.store(database, 1, [*_walk(_hour(5)), *_walk(_hour(4))])
    rollups.roll(database, _hour(1))
    first = await guardian.ask(PATH, resolution="hour", limit=1)

    other = await guardian.ask(PATH, resolution="raw", cursor=first.body["next"])
    same = await guardian.ask(PATH, resolution="hour", cursor=first.body["next"])

    assert (other.status, other.body["reason"]) == (400, "bad_query")
    assert other.body["detail"].startswith("cursor:")
    assert [one["timestamp"] for one in same.body["points"]] == [_text(_hour(4))]
    assert same.body["next"] is None
