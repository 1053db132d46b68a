"""Recorded tracks come in as trips: from GPX, from CSV, and not at all from anything else."""

from __future__ import annotations

import datetime
import gzip
import pathlib

import pytest

from geoingest import errors
from geoingest.local import traces

_CSV = """\
lat,lng,datetime,uid
39.98,116.31,2008-10-23 05:53:05,001
39.99,116.32,2008-10-23 05:53:06,001
40.01,116.41,2008-10-23 05:00:00,002
39.97,116.33,2008-10-23 06:03:07,001
"""
_GPX = """\
<?xml version="1.0"?>
<gpx version="1.1" creator="a test" xmlns="http://www.topografix.com/GPX/1/1">
  <trk><trkseg>
    <trkpt lat="52.5" lon="13.4"><time>2026-01-02T03:04:05Z</time></trkpt>
    <trkpt lat="52.6" lon="13.5"><time>2026-01-02T04:04:10+01:00</time></trkpt>
    <trkpt lat="52.7" lon="13.6"></trkpt>
  </trkseg></trk>
  <trk><trkseg><trkpt lat="1" lon="2"><time>2025-01-01T00:00:00.5Z</time></trkpt></trkseg></trk>
</gpx>
"""


def test_csv_becomes_trips_of_each_person_in_order_of_start(tmp_path: pathlib.Path) -> None:
    """A person's fixes are one trip until ten silent minutes; times without a zone are UTC."""
    trips = traces.read(_file(tmp_path, "trace.csv", _CSV.encode()))

    assert trips == [
        [_fix("05:00:00", 40.01, 116.41)],
        [_fix("05:53:05", 39.98, 116.31), _fix("05:53:06", 39.99, 116.32)],
        [_fix("06:03:07", 39.97, 116.33)],
    ]


def test_gzip_holds_the_same_trips(tmp_path: pathlib.Path) -> None:
    """CSV.gz is CSV."""
    plain = traces.read(_file(tmp_path, "trace.csv", _CSV.encode()))

    packed = traces.read(_file(tmp_path, "trace.csv.gz", gzip.compress(_CSV.encode())))

    assert packed == plain


def test_columns_go_by_other_names_and_in_any_order(tmp_path: pathlib.Path) -> None:
    """Longitude is lng, lon or longitude; a file of one person needs no uid; offsets count."""
    text = "Time, Longitude ,LATITUDE\r\n2008-10-23T07:00:00+02:00,116.41,40.01\r\n"

    trips = traces.read(_file(tmp_path, "trace.csv", text.encode()))

    assert trips == [[_fix("05:00:00", 40.01, 116.41)]]


def test_gpx_tracks_are_trips(tmp_path: pathlib.Path) -> None:
    """Points without a time are left out; every time becomes UTC."""
    trips = traces.read(_file(tmp_path, "trace.GPX", _GPX.encode()))

    assert [len(trip) for trip in trips] == [1, 2]
    assert trips[0][0] == (datetime.datetime(2025, 1, 1, 0, 0, 0, 500_000, datetime.UTC), 1.0, 2.0)
    assert [fix.timestamp.isoformat() for fix in trips[1]] == [
        "2026-01-02T03:04:05+00:00",
        "2026-01-02T03:04:10+00:00",
    ]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param("empty.csv", b"", id="empty"),
        pytest.param("header.csv", b"lat,lng,datetime,uid\n", id="no fixes"),
        pytest.param("other.csv", b"a,b\n1,2\n", id="other columns"),
        pytest.param("words.csv", b"lat,lng,datetime\nnorth,east,noon\n", id="words"),
        pytest.param("cut.csv", _CSV.encode()[:80], id="cut in the middle of a line"),
        pytest.param("short.csv", b"datetime,lat,lng\n2008-10-23 05:53:05,1\n", id="short line"),
        pytest.param("photo.csv", b"\xff\xd8\xff\xe0\x00\x10", id="not text"),
        pytest.param("mac.csv", b"lat,lng,datetime\r1,2,2008-10-23", id="lone carriage returns"),
        pytest.param("plain.csv.gz", _CSV.encode(), id="not gzip"),
        pytest.param("cut.csv.gz", gzip.compress(_CSV.encode())[:-20], id="gzip cut short"),
        pytest.param(
            "torn.csv.gz",
            gzip.compress(_CSV.encode())[:10] + b"\xff" * 40,
            id="gzip with a broken stream",
        ),
        pytest.param("words.gpx", b"lat,lng", id="not XML"),
        pytest.param("page.gpx", b"<html></html>", id="not GPX"),
        pytest.param("none.gpx", _GPX.encode().split(b"  <trk>")[0] + b"</gpx>", id="no tracks"),
        pytest.param("photo.gpx", b"\xff\xd8\xff\xe0", id="GPX that is not text"),
    ],
)
def test_a_file_that_is_no_trace_is_named(
    tmp_path: pathlib.Path, name: str, content: bytes
) -> None:
    """LocalError with the file's name, whatever is wrong with it; never a traceback."""
    path = _file(tmp_path, name, content)

    with pytest.raises(errors.LocalError, match=name):
        traces.read(path)


def test_a_missing_file_is_named(tmp_path: pathlib.Path) -> None:
    """Not there is as wrong as not readable."""
    with pytest.raises(errors.LocalError, match=r"nowhere\.csv"):
        traces.read(tmp_path / "nowhere.csv")


def test_a_shifted_trip_keeps_its_pace_and_its_places() -> None:
    """Only the times move, all by the same."""
    trip = [_fix("05:00:00", 1.0, 2.0), _fix("05:00:07", 3.0, 4.0)]

    moved = traces.shifted(trip, datetime.timedelta(hours=1))

    assert moved == [_fix("06:00:00", 1.0, 2.0), _fix("06:00:07", 3.0, 4.0)]


def _file(folder: pathlib.Path, name: str, content: bytes) -> pathlib.Path:
    path = folder / name
    path.write_bytes(content)
    return path


def _fix(clock: str, latitude: float, longitude: float) -> traces.Fix:
    at = datetime.datetime.fromisoformat(f"2008-10-23T{clock}+00:00")
    return traces.Fix(at, latitude, longitude)
