"""The shapes of read answers: the same types encode them and describe them in openapi.json."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Generic, Literal, TypeAlias, TypeVar

import msgspec

from geoingest import lookup
from geoingest.tracking import replica

R_co = TypeVar("R_co", covariant=True)
P_co = TypeVar("P_co", covariant=True)
Resolution: TypeAlias = Literal["raw", "hour", "day"]


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


class HourPoint(msgspec.Struct, gc=False):
    """What the pings of one hour come to; `timestamp` is its beginning, the place is their mean."""

    timestamp: datetime.datetime
    latitude: float
    longitude: float
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


class DayPoint(msgspec.Struct, gc=False):
    """What the pings of one day come to; `day` is the date at the school, the place is their mean."""

    day: datetime.date
    latitude: float
    longitude: float
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


AnyPoint: TypeAlias = Point | HourPoint | DayPoint


class Track(msgspec.Struct, Generic[R_co, P_co], frozen=True):
    """Points oldest first; `next` is the cursor of the following page, null on the last."""

    student_id: int
    resolution: R_co
    points: Sequence[P_co]
    next: str | None
    as_of: datetime.datetime
    source: replica.Source


class RawTrack(Track[Literal["raw"], Point], frozen=True):
    """Every ping, oldest first; `next` is the cursor of the following page, null on the last."""


class HourTrack(Track[Literal["hour"], HourPoint], frozen=True):
    """Hours, oldest first; `next` may lead on to pings, null on the last page."""


class DayTrack(Track[Literal["day"], DayPoint], frozen=True):
    """Days, oldest first; `next` may lead on to pings, null on the last page."""


AnyTrack: TypeAlias = Track[Resolution, AnyPoint]
TRACKS: dict[Resolution, type[AnyTrack]] = {"raw": RawTrack, "hour": HourTrack, "day": DayTrack}


class Day(msgspec.Struct, gc=False):
    """One day of one student; `day` is the date at the school."""

    day: datetime.date
    pings: int
    first_at: datetime.datetime
    last_at: datetime.datetime
    distance_m: float
    moving_seconds: float
    max_speed: float | None


class DaysAnswer(msgspec.Struct):
    """The days with a ping, oldest first."""

    student_id: int
    days: list[Day]
    as_of: datetime.datetime
    source: replica.Source


class Lookup(msgspec.Struct, gc=False):
    """One look-up: which viewer asked what, of which window, and how many rows it was shown.

    The newest was asked for where there is no window; how many rows a file had is not known. Where there is a
    share, whoever has it asked, and the viewer is its maker.
    """

    viewer_id: int
    share_id: int | None
    kind: lookup.Kind
    window_from: datetime.datetime | None = msgspec.field(name="from")
    window_to: datetime.datetime | None = msgspec.field(name="to")
    rows: int | None
    looked_at: datetime.datetime


class LookupsAnswer(msgspec.Struct):
    """Look-ups newest first; `next` is the cursor of the following page, null on the last."""

    student_id: int
    lookups: Sequence[Lookup]
    next: str | None
    as_of: datetime.datetime
    source: replica.Source


def location_answer(
    location: Location, as_of: datetime.datetime, source: replica.Source
) -> LocationAnswer:
    """The newest ping with what bounds its age."""
    fields = msgspec.structs.asdict(location)
    return LocationAnswer(**fields, as_of=as_of, source=source)
