"""Recorded tracks to replay: GPX, or CSV (also .gz) with lat, lng, datetime and uid."""

from __future__ import annotations

import csv
import datetime
import gzip
import io
import pathlib
import zlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import gpxpy

from geoingest import errors

# A longer silence ends a trip.
_GAP = datetime.timedelta(minutes=10)
_COLUMNS = {
    "latitude": ("lat", "latitude"),
    "longitude": ("lng", "lon", "longitude"),
    "timestamp": ("datetime", "timestamp", "time"),
    "person": ("uid", "user", "id", "device_id"),
}


_UNREADABLE = (
    OSError,
    EOFError,
    zlib.error,
    csv.Error,
    ValueError,
    TypeError,
    KeyError,
    gpxpy.gpx.GPXException,
)


class Fix(NamedTuple):
    """One recorded position; `timestamp` in UTC, degrees in WGS 84."""

    timestamp: datetime.datetime
    latitude: float
    longitude: float


Trip = list[Fix]


def read(path: pathlib.Path) -> list[Trip]:
    """The trips of a file, in the order of their start; LocalError when it cannot be read."""
    try:
        people = list((_read_gpx if path.suffix.lower() == ".gpx" else _read_csv)(path))
    except _UNREADABLE as exc:
        raise errors.LocalError(
            f"{path}: not a GPX file, nor a CSV with lat, lng, datetime and uid ({exc})"
        ) from exc
    trips = [trip for fixes in people for trip in _trips(fixes)]
    if not trips:
        raise errors.LocalError(f"{path}: no fixes in it")
    return sorted(trips, key=lambda trip: trip[0].timestamp)


def shifted(trip: Trip, by: datetime.timedelta) -> Trip:
    """The same trip at another time."""
    return [fix._replace(timestamp=fix.timestamp + by) for fix in trip]


def _read_csv(path: pathlib.Path) -> Iterator[Trip]:
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    reader = csv.DictReader(io.StringIO(data.decode()))
    names = {name.strip().lower(): name for name in reader.fieldnames or ()}
    column = {
        key: next((names[name] for name in known if name in names), "")
        for key, known in _COLUMNS.items()
    }
    people: dict[str, Trip] = {}
    for row in reader:
        fix = Fix(
            _utc(row[column["timestamp"]]),
            float(row[column["latitude"]]),
            float(row[column["longitude"]]),
        )
        people.setdefault(row.get(column["person"]) or "", []).append(fix)
    yield from people.values()


def _read_gpx(path: pathlib.Path) -> Iterator[Trip]:
    for track in gpxpy.parse(path.read_text()).tracks:
        yield [
            Fix(_utc(point.time.isoformat()), point.latitude, point.longitude)
            for segment in track.segments
            for point in segment.points
            if point.time is not None
        ]


def _utc(text: str) -> datetime.datetime:
    instant = datetime.datetime.fromisoformat(text)
    # Recorders that leave the zone out mean UTC.
    return (
        instant.astimezone(datetime.UTC) if instant.tzinfo else instant.replace(tzinfo=datetime.UTC)
    )


def _trips(fixes: Iterable[Fix]) -> Iterator[Trip]:
    trip: Trip = []
    for fix in fixes:
        if trip and abs(fix.timestamp - trip[-1].timestamp) > _GAP:
            yield trip
            trip = []
        trip.append(fix)
    if trip:
        yield trip
