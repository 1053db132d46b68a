"""The files of a track: GPX, KML and CSV say what the JSON pages say, all of it."""

from __future__ import annotations

import csv
import datetime
import io
import random
from typing import Any
from xml.etree import ElementTree as ET

import gpxpy
import pytest

from geoingest import db
from geoingest.access import provision
from geoingest.tracking import export, formats
from tests import conftest, guardians, rollups, test_metrics

GPX, KML = "application/gpx+xml", "application/vnd.google-earth.kml+xml"
PATH = "/v1/students/1/track"
DETAIL_DAYS = 3
_KML = "{http://www.opengis.net/kml/2.2}"


@pytest.fixture
async def guardian(
    database: conftest.Database, start: conftest.Start, school: list[provision.Enrolled]
) -> guardians.Guardian:
    """May see all students of a service that keeps pings for three days."""
    with db.direct(database.url) as connection:
        token = provision.add_viewer(connection, None)[1]
    settings = database.settings(database_replica_url="", detail_days=DETAIL_DAYS)
    return guardians.Guardian(await start(settings), token)


@pytest.fixture
def since(database: conftest.Database) -> dict[str, str]:
    """A window of three days without pings and two with: its beginning."""
    now = rollups.now()
    horizon = now - DETAIL_DAYS * rollups.DAY
    fixes = rollups.wander(random.Random(7), horizon - 2 * rollups.DAY, now, count=900)
    # The horizon moves while the test runs: nobody sends then.
    quiet = datetime.timedelta(minutes=10)
    fixes = [one for one in fixes if abs(one.timestamp - horizon) > quiet]
    fixes += [rollups.Fix(now - one * quiet, 5, 1e-5, -1e-6, 34.5) for one in (1, 2)]
    rollups.store(database, 1, fixes)
    rollups.roll(database, now - rollups.HOUR)
    return {"from": (horizon - 3 * rollups.DAY).isoformat()}


async def _pages(guardian: guardians.Guardian, **parameters: str) -> list[tuple[str, Any]]:
    """Resolution and point, of every page."""
    points: list[tuple[str, Any]] = []
    after: dict[str, str] = {}
    for _ in range(10):
        answer = await guardian.ask(PATH, limit=5000, **parameters, **after)
        points += [(answer.body["resolution"], one) for one in answer.body["points"]]
        if answer.body["next"] is None:
            break
        after = {"cursor": answer.body["next"]}
    return points


@pytest.mark.parametrize("resolution", ["auto", "raw", "hour", "day"])
async def test_a_csv_has_every_member_of_every_point(
    guardian: guardians.Guardian, since: dict[str, str], resolution: str
) -> None:
    """One header whatever the resolution, empty where a point has no such member, instants in UTC."""
    asked = {**since, "resolution": resolution}
    points = await _pages(guardian, **asked)

    answer = await guardian.ask(PATH, accept="text/csv", **asked)

    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8; header=present"
    lines = answer.raw.decode().split("\r\n")
    assert lines[0] == (
        "resolution,device_id,timestamp,latitude,longitude,accuracy,altitude,speed,course,battery,"
        "received_at,pings,first_at,last_at,distance_m,moving_seconds,max_speed,south,west,north,east,day"
    )
    assert lines[-1] == ""
    rows = list(csv.DictReader(io.StringIO(answer.raw.decode())))
    assert len(rows) == len(points) > 0
    for row, (kind, point) in zip(rows, points, strict=True):
        said = {name: text for name, text in row.items() if text}
        known = {name: str(value) for name, value in point.items() if value is not None}
        assert said == {"resolution": kind, **known}


async def test_a_gpx_is_read_back(guardian: guardians.Guardian, since: dict[str, str]) -> None:
    """A <trk> for each resolution, with place, altitude and time of each point, in any GPX reader."""
    points = await _pages(guardian, **since)

    answer = await guardian.ask(PATH, accept=GPX, **since)

    assert answer.headers["Content-Type"] == GPX
    read = gpxpy.parse(answer.raw.decode())
    assert [one.type for one in read.tracks] == ["hour", "raw"]
    seen: list[tuple[Any, ...]] = [
        (one.type, point.time, point.latitude, point.longitude, point.elevation)
        for one in read.tracks
        for segment in one.segments
        for point in segment.points
    ]
    assert seen == [
        (
            kind,
            guardians.instant(one),
            pytest.approx(one["latitude"], abs=1e-8),
            pytest.approx(one["longitude"], abs=1e-8),
            one.get("altitude"),
        )
        for kind, one in points
    ]


async def test_a_kml_is_read_back(guardian: guardians.Guardian, since: dict[str, str]) -> None:
    """A <Folder> for each resolution, a <Placemark> for each point: an instant, or a span of time."""
    points = await _pages(guardian, **since)

    answer = await guardian.ask(PATH, accept=KML, **since)

    assert answer.headers["Content-Type"] == KML
    read = ET.fromstring(answer.raw)  # noqa: S314  # ours
    folders = read.findall(f"{_KML}Document/{_KML}Folder")
    assert [one.findtext(f"{_KML}name") for one in folders] == ["hour", "raw"]
    marks = read.findall(f".//{_KML}Placemark")
    assert len(marks) == len(points)
    for mark, (kind, point) in zip(marks, points, strict=True):
        place = mark.findtext(f"{_KML}Point/{_KML}coordinates")
        altitude = [] if point.get("altitude") is None else [point["altitude"]]
        assert place is not None
        assert [float(one) for one in place.split(",")] == pytest.approx(
            [point["longitude"], point["latitude"], *altitude], abs=1e-8
        )
        times = [
            one.text for one in mark.iter() if one.tag[len(_KML) :] in {"when", "begin", "end"}
        ]
        assert times == (
            [point["timestamp"]] if kind == "raw" else [point["first_at"], point["last_at"]]
        )


async def test_a_day_in_gpx_has_the_time_of_its_first_ping(
    guardian: guardians.Guardian, since: dict[str, str]
) -> None:
    """A date is no instant."""
    days = [one for _, one in await _pages(guardian, **since, resolution="day")]

    answer = await guardian.ask(PATH, accept=GPX, **since, resolution="day")

    (only,) = gpxpy.parse(answer.raw.decode()).tracks
    times = [point.time for point in only.segments[0].points]
    assert times == [guardians.instant(one, "first_at") for one in days]
    assert len(times) >= 5


@pytest.mark.parametrize("accept", formats.FORMATS)
async def test_a_file_without_points_is_still_one(
    guardian: guardians.Guardian, accept: str
) -> None:
    """Nobody was seen: a header line, or well-formed XML; HEAD says the same without it."""
    answer = await guardian.ask("/v1/students/2/track", accept=accept)

    assert (answer.status, answer.headers["Source"]) == (200, "primary")
    assert answer.headers["Cache-Control"] == "no-store"
    as_of = datetime.datetime.fromisoformat(answer.headers["As-Of"])
    assert abs(as_of - datetime.datetime.now(datetime.UTC)) < datetime.timedelta(minutes=1)
    if accept == "text/csv":
        assert answer.raw.count(b"\r\n") == 1
    else:
        assert len(ET.fromstring(answer.raw)) == 1  # noqa: S314  # ours


async def test_what_a_page_is_refused_a_file_is_refused(
    guardian: guardians.Guardian, database: conftest.Database, school: list[provision.Enrolled]
) -> None:
    """Foreign and unknown students alike, no token, parts of a file, and what is wrong by its name."""
    own = guardians.Guardian(guardian.running, school[0].viewer_token)
    stranger = guardians.Guardian(guardian.running, "gi_view_unknown")
    foreign = f"/v1/students/{school[1].student_id}/track"

    hidden = [await own.ask(path, accept=GPX) for path in (foreign, "/v1/students/99999/track")]
    unknown = await stranger.ask(foreign, accept=GPX)
    named = {
        name: await guardian.ask(PATH, accept="text/csv", **{name: value})
        for name, value in (("limit", "5"), ("cursor", "x"), ("from", "x"), ("resolution", "x"))
    }
    neither = await guardian.ask(PATH, accept="application/gpx, text/html")

    assert {(one.status, one.raw) for one in hidden} == {(404, hidden[0].raw)}
    assert unknown.status == 401
    for name, answer in named.items():
        assert (answer.status, answer.body["reason"]) == (400, "bad_query")
        assert answer.body["detail"].startswith(f"{name}:")
    assert (neither.status, neither.body["reason"]) == (406, "not_acceptable")
    assert all(one in neither.body["detail"] for one in formats.FORMATS)


async def test_a_file_is_one_track_with_all_its_points(
    guardian: guardians.Guardian, database: conftest.Database
) -> None:
    """It is counted once, however many pages it took."""
    now, count = rollups.now(), export.PAGE_POINTS * 2 + 1
    second = datetime.timedelta(seconds=1)
    rollups.store(
        database, 3, [rollups.Fix(now - one * second, 5, 52.5, 13.4) for one in range(count, 0, -1)]
    )
    before = await test_metrics.scrape(guardian.running)

    answer = await guardian.ask("/v1/students/3/track", accept="text/csv", resolution="raw")

    after = await test_metrics.scrape(guardian.running)
    assert answer.raw.count(b"\n") == count + 1
    names = ("geoingest_track_points_count", "geoingest_track_points_sum", "geoingest_reads_total")
    assert [after.value(one) - before.value(one) for one in names] == [1, count, 3]
