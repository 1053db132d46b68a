"""A track comes page by page, within its window and the horizon, as JSON or GeoJSON."""

from __future__ import annotations

import datetime

import pytest

from geoingest import db
from geoingest.access import provision
from geoingest.lifecycle import partitions
from tests import conftest, guardians

GEOJSON = "application/geo+json"


@pytest.fixture
def everyone(database: conftest.Database, school: list[provision.Enrolled]) -> str:
    """The token of a viewer who sees all students."""
    with db.direct(database.url) as connection:
        return provision.add_viewer(connection, None)[1]


async def test_pages_lose_and_double_no_point(
    primary: conftest.Running,
    database: conftest.Database,
    everyone: str,
    subtests: pytest.Subtests,
) -> None:
    """Page by page the whole window comes once, also where three devices share an instant."""
    instants = [guardians.ago(seconds=one) for one in range(20, 0, -1)]
    for device_id in (5, 9, 7):
        guardians.store(database, 1, *instants, device_id=device_id)
    guardian = guardians.Guardian(primary, everyone)

    for limit in (1, 7, 59, 60, 61):
        with subtests.test(f"{limit} per page"):
            pages = await _pages(guardian, limit)

            seen = [point for page in pages for point in page]
            assert sorted(seen) == sorted((one, device) for one in instants for device in (5, 7, 9))
            assert [one for one, _ in seen] == sorted(one for one, _ in seen)
            assert [len(page) for page in pages] == [
                min(limit, 60 - at) for at in range(0, 60, limit)
            ]


async def _pages(
    guardian: guardians.Guardian, limit: int
) -> list[list[tuple[datetime.datetime, int]]]:
    """Follows `next` to its end, or far beyond where it should be."""
    pages: list[list[tuple[datetime.datetime, int]]] = []
    cursor: dict[str, str] = {}
    while len(pages) <= 60:
        answer = await guardian.ask("/v1/students/1/track", limit=limit, **cursor)
        pages.append([(guardians.instant(one), one["device_id"]) for one in answer.body["points"]])
        if answer.body["next"] is None:
            break
        cursor = {"cursor": answer.body["next"]}
    return pages


async def test_a_window_holds_its_start_and_not_its_end(
    primary: conftest.Running, database: conftest.Database, everyone: str
) -> None:
    """[from, to), in whatever offset it is written; the last day when neither is given."""
    guardians.store(
        database,
        1,
        *(guardians.ago(minutes=one) for one in (1, 2, 3, 4)),
        guardians.ago(days=1, minutes=3),
    )
    guardian = guardians.Guardian(primary, everyone)
    path, zone = "/v1/students/1/track", datetime.timezone(datetime.timedelta(hours=-7))
    start, end = guardians.ago(minutes=3), guardians.ago(minutes=1)
    both = {"from": start.astimezone(zone).isoformat(), "to": end.isoformat()}

    inside = await guardian.ask(path, **both)
    empty = await guardian.ask(path, **{"from": end.isoformat(), "to": end.isoformat()})
    day_before = await guardian.ask(path, to=guardians.ago(minutes=4).isoformat())
    last_day = await guardian.ask(path)

    assert [guardians.instant(one) for one in inside.body["points"]] == [
        start,
        guardians.ago(minutes=2),
    ]
    assert empty.body["points"] == []
    assert [guardians.instant(one) for one in day_before.body["points"]] == [
        guardians.ago(days=1, minutes=3)
    ]
    assert len(last_day.body["points"]) == 4


async def test_detail_ends_at_the_horizon(
    primary: conftest.Running, database: conftest.Database, everyone: str
) -> None:
    """A row older than 90 days is not readable, though it may still be in its partition."""
    with db.direct(database.url) as connection:
        partitions.ensure(connection, detail_days=150, now=guardians.NOW)
    guardians.store(database, 1, guardians.ago(days=90, minutes=1), guardians.ago(days=120))
    guardians.store(
        database, 2, guardians.ago(days=90, minutes=1), guardians.ago(days=90, hours=-1)
    )
    guardian = guardians.Guardian(primary, everyone)
    since = {"from": guardians.ago(days=140).isoformat(), "to": guardians.NOW.isoformat()}

    gone = await guardian.ask("/v1/students/1/location")
    tracks = [await guardian.ask(f"/v1/students/{one}/track", **since) for one in (1, 2)]
    before = await guardian.ask(
        "/v1/students/1/track", **{"from": since["from"], "to": guardians.ago(days=100).isoformat()}
    )
    locations = await guardian.ask("/v1/locations")

    assert (gone.status, gone.body["reason"]) == (404, "no_position")
    assert [len(one.body["points"]) for one in (*tracks, before)] == [0, 1, 0]
    assert [one["student_id"] for one in locations.body["locations"]] == [2]


async def test_a_bad_parameter_is_named(
    primary: conftest.Running, everyone: str, subtests: pytest.Subtests
) -> None:
    """400 whose detail begins with the parameter that is wrong; nothing is guessed."""
    guardian = guardians.Guardian(primary, everyone)
    track, many = "/v1/students/1/track", "/v1/locations"
    naive, later = (
        guardians.NOW.replace(tzinfo=None).isoformat(),
        guardians.ago(days=-1).isoformat(),
    )
    wrong: list[tuple[str, str, str]] = [
        (track, "limit", one) for one in ("0", "10001", "-1", "x", "")
    ]
    wrong += [(track, "from", one) for one in ("yesterday", naive, "", later, "1700000000")]
    wrong += [(track, "to", naive), (track, "resolution", "minute"), (track, "resolution", "")]
    wrong += [(track, "cursor", one) for one in ("zzz", "", "\u00e9", "f39_" * 4)]
    wrong += [(track, "form", later), (many, "from", later), (many, "limit", "5")]
    wrong += [(many, "student_id", one) for one in ("0", "x", "1,2", "", "9" * 30, "\u0661")]

    for path, name, value in wrong:
        with subtests.test(f"{name}={value}"):
            answer = await guardian.ask(path, **{name: value})

            assert (answer.status, answer.body["reason"]) == (400, "bad_query")
            assert answer.body["detail"].startswith(f"{name}:")
            assert answer.headers["Content-Type"].startswith("application/problem+json")
    largest = await guardian.ask(track, limit=10000, resolution="raw")
    assert largest.status == 200


async def test_a_track_as_geojson_says_the_same(
    primary: conftest.Running, database: conftest.Database, everyone: str
) -> None:
    """RFC 7946: longitude first, altitude third where known, and the members of the JSON answer."""
    guardians.store(database, 1, guardians.ago(minutes=2), guardians.ago(minutes=1))
    database.query(
        'UPDATE geolocation_data SET altitude = 34 WHERE "timestamp" = $1', guardians.ago(minutes=1)
    )
    guardian = guardians.Guardian(primary, everyone)

    plain = await guardian.ask("/v1/students/1/track", limit=2)
    answer = await guardian.ask(
        "/v1/students/1/track", accept=f"text/html, {GEOJSON};q=0.9", limit=2
    )

    assert (answer.status, answer.headers["Content-Type"]) == (200, GEOJSON)
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.body["type"] == "FeatureCollection"
    features = answer.body["features"]
    assert [one["type"] for one in features] == ["Feature"] * 2
    assert [one["geometry"] for one in features] == [
        {"type": "Point", "coordinates": [13.4, 52.5]},
        {"type": "Point", "coordinates": [13.4, 52.5, 34.0]},
    ]
    for feature, point in zip(features, plain.body["points"], strict=True):
        assert feature["properties"].items() <= point.items()
    assert set(answer.body) == (set(plain.body) | {"type", "features"}) - {"points"}


async def test_only_what_is_served_here_is_promised(
    primary: conftest.Running, everyone: str
) -> None:
    """Accept decides on the representation of a track; where none fits, 406."""
    guardian = guardians.Guardian(primary, everyone)
    path = "/v1/students/1/track"

    refused = [
        await guardian.ask(path, accept=one)
        for one in ("text/html", "application/gpx", "text/plain, image/*")
    ]
    kinds = {
        accept: (await guardian.ask(path, accept=accept)).headers["Content-Type"].partition(";")[0]
        for accept in ("application/json", "*/*", "application/*", "text/html, */*;q=0.1", GEOJSON)
    }

    assert [(one.status, one.body["reason"]) for one in refused] == [(406, "not_acceptable")] * 3
    assert kinds.pop(GEOJSON) == GEOJSON
    assert set(kinds.values()) == {"application/json"}
