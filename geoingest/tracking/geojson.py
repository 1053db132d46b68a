"""A track for a map: RFC 7946 GeoJSON, whose other members say the same as in the JSON answer."""

from __future__ import annotations

import datetime
import operator
from collections.abc import Sequence
from typing import Generic, Literal, TypeAlias, TypeVar

import msgspec

from geoingest.tracking import replica, shapes

R_co = TypeVar("R_co", covariant=True)
P_co = TypeVar("P_co", covariant=True)


class PointGeometry(msgspec.Struct, tag_field="type", tag="Point"):
    """Longitude, latitude, and altitude where it is known."""

    coordinates: list[float]


class PointProperties(msgspec.Struct):
    """What a ping says beside its place."""

    device_id: int
    timestamp: datetime.datetime
    accuracy: float | None
    speed: float | None
    course: float | None
    battery: int | None
    received_at: datetime.datetime


class HourProperties(msgspec.Struct):
    """What an hour says beside its place."""

    timestamp: datetime.datetime
    accuracy: float | None
    pings: int
    first_at: datetime.datetime
    last_at: datetime.datetime
    distance_m: float
    moving_seconds: float
    max_speed: float | None
    south: float
    west: float
    north: float
    east: float


class DayProperties(msgspec.Struct):
    """What a day says beside its place."""

    day: datetime.date
    accuracy: float | None
    pings: int
    first_at: datetime.datetime
    last_at: datetime.datetime
    distance_m: float
    moving_seconds: float
    max_speed: float | None
    south: float
    west: float
    north: float
    east: float


class Feature(msgspec.Struct, Generic[P_co], frozen=True, tag_field="type", tag="Feature"):
    """One point of the track."""

    geometry: PointGeometry
    properties: P_co


class Features(
    msgspec.Struct, Generic[R_co, P_co], frozen=True, tag_field="type", tag="FeatureCollection"
):
    """The features of one page, oldest first."""

    features: Sequence[Feature[P_co]]
    student_id: int
    resolution: R_co
    next: str | None
    as_of: datetime.datetime
    source: replica.Source


class RawFeatures(Features[Literal["raw"], PointProperties], frozen=True, tag="FeatureCollection"):
    """A page of pings."""


class HourFeatures(Features[Literal["hour"], HourProperties], frozen=True, tag="FeatureCollection"):
    """A page of hours."""


class DayFeatures(Features[Literal["day"], DayProperties], frozen=True, tag="FeatureCollection"):
    """A page of days."""


AnyProperties: TypeAlias = PointProperties | HourProperties | DayProperties
AnyFeatures: TypeAlias = Features[shapes.Resolution, AnyProperties]


def features(track: shapes.AnyTrack) -> AnyFeatures:
    """The same page for a map."""
    collection, properties = _SHAPES[track.resolution]
    pick = operator.attrgetter(*properties.__struct_fields__)
    return collection(
        [Feature(_geometry(one), properties(*pick(one))) for one in track.points],
        track.student_id,
        track.resolution,
        track.next,
        track.as_of,
        track.source,
    )


_SHAPES: dict[shapes.Resolution, tuple[type[AnyFeatures], type[AnyProperties]]] = {
    "raw": (RawFeatures, PointProperties),
    "hour": (HourFeatures, HourProperties),
    "day": (DayFeatures, DayProperties),
}


def _geometry(point: shapes.AnyPoint) -> PointGeometry:
    coordinates = [point.longitude, point.latitude]
    if isinstance(point, shapes.Point) and point.altitude is not None:
        coordinates.append(point.altitude)
    return PointGeometry(coordinates)
