"""The shapes of read answers: the same types encode them and describe them in openapi.json."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Literal

import msgspec

from geoingest.tracking import replica


class Location(msgspec.Struct, gc=False):
    """The newest ping of one student."""

    student_id: int
    device_id: int
    timestamp: datetime.datetime
    latitude: float
    longitude: float
    accuracy: float | None
    altitude: float | None
    speed: float | None
    course: float | None
    battery: int | None
    received_at: datetime.datetime


class LocationAnswer(Location, gc=False):
    """The newest ping, and how current the answer is."""

    as_of: datetime.datetime
    source: replica.Source


class LocationsAnswer(msgspec.Struct, gc=False):
    """The newest ping of each student; students without a position are left out."""

    locations: list[Location]
    as_of: datetime.datetime
    source: replica.Source


class Point(msgspec.Struct, gc=False):
    """One ping of a track."""

    device_id: int
    timestamp: datetime.datetime
    latitude: float
    longitude: float
    accuracy: float | None
    altitude: float | None
    speed: float | None
    course: float | None
    battery: int | None
    received_at: datetime.datetime


class TrackAnswer(msgspec.Struct, gc=False):
    """Points oldest first; `next` is the cursor of the following page, null on the last."""

    student_id: int
    resolution: Literal["raw"]
    points: list[Point]
    next: str | None
    as_of: datetime.datetime
    source: replica.Source


class PointGeometry(msgspec.Struct, tag_field="type", tag="Point"):
    """RFC 7946: longitude, latitude, and altitude where it is known."""

    coordinates: list[float]


class PointProperties(msgspec.Struct):
    """What a point says beside its place."""

    device_id: int
    timestamp: datetime.datetime
    accuracy: float | None
    speed: float | None
    course: float | None
    battery: int | None
    received_at: datetime.datetime


class Feature(msgspec.Struct, tag_field="type", tag="Feature"):
    """One point of the track."""

    geometry: PointGeometry
    properties: PointProperties


class TrackFeatures(msgspec.Struct, tag_field="type", tag="FeatureCollection"):
    """The track as GeoJSON; the other members say the same as in the JSON answer."""

    features: list[Feature]
    student_id: int
    resolution: Literal["raw"]
    next: str | None
    as_of: datetime.datetime
    source: replica.Source


def location_answer(
    location: Location, as_of: datetime.datetime, source: replica.Source
) -> LocationAnswer:
    """The newest ping with what bounds its age."""
    fields = msgspec.structs.asdict(location)
    return LocationAnswer(**fields, as_of=as_of, source=source)


def features(answer: TrackAnswer) -> TrackFeatures:
    """The same track for a map."""
    return TrackFeatures(
        _features(answer.points),
        answer.student_id,
        answer.resolution,
        answer.next,
        answer.as_of,
        answer.source,
    )


def _features(points: Sequence[Point]) -> list[Feature]:
    return [
        Feature(
            PointGeometry(
                [one.longitude, one.latitude]
                if one.altitude is None
                else [one.longitude, one.latitude, one.altitude]
            ),
            PointProperties(
                one.device_id,
                one.timestamp,
                one.accuracy,
                one.speed,
                one.course,
                one.battery,
                one.received_at,
            ),
        )
        for one in points
    ]
