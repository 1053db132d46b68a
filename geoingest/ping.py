"""A ping: what a device sends, what is stored, and why one may be rejected."""

from __future__ import annotations

import datetime
import enum
from collections.abc import Container
from typing import Annotated, Literal, NamedTuple, TypeAlias, get_args

import msgspec
from msgspec import Meta

# PostgreSQL's own: instants go to the database as they are kept here.
EPOCH = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)
EPOCH_UNIX_US = 946_684_800_000_000
# Numbers at or above are milliseconds: as seconds this is the year 5138, as milliseconds 1973.
MILLISECONDS_FROM = 1e11

Reason: TypeAlias = Literal[
    "malformed",
    "missing_timestamp",
    "latitude_out_of_range",
    "longitude_out_of_range",
    "not_finite",
    "null_island",
    "too_old",
    "in_future",
    "unknown_student",
    "unstorable",
]
REASONS: tuple[Reason, ...] = get_args(Reason)

# Beyond these a reading is nonsense.
MOST_ACCURACY_M = 1e7
LEAST_ALTITUDE_M, MOST_ALTITUDE_M = -1e5, 1e6
MOST_SPEED = 1e5

Timestamp: TypeAlias = Annotated[
    datetime.datetime,
    Meta(tz=True, description="RFC 3339 with an offset, or unix seconds or milliseconds"),
]
StudentId: TypeAlias = Annotated[int, Meta(ge=1, le=2**63 - 1)]
Latitude: TypeAlias = Annotated[float, Meta(ge=-90, le=90, description="degrees, WGS 84")]
Longitude: TypeAlias = Annotated[float, Meta(ge=-180, le=180, description="degrees, WGS 84")]
Accuracy: TypeAlias = Annotated[
    float, Meta(ge=0, le=MOST_ACCURACY_M, description="radius in metres")
]
Altitude: TypeAlias = Annotated[
    float, Meta(ge=LEAST_ALTITUDE_M, le=MOST_ALTITUDE_M, description="metres")
]
Speed: TypeAlias = Annotated[float, Meta(ge=0, le=MOST_SPEED, description="metres per second")]
Course: TypeAlias = Annotated[float, Meta(ge=0, le=360, description="degrees from true north")]
Battery: TypeAlias = Annotated[float, Meta(ge=0, le=100, description="percent")]


class PingBody(msgspec.Struct, gc=False):
    """One ping as a device sends it; unknown members are ignored."""

    timestamp: Timestamp | int | float
    latitude: Latitude
    longitude: Longitude
    accuracy: Accuracy | None = None
    altitude: Altitude | None = None
    speed: Speed | None = None
    course: Course | None = None
    battery: Battery | None = None
    student_id: (
        Annotated[
            StudentId,
            Meta(description="needed from a gateway; a student's own device may leave it out"),
        ]
        | None
    ) = None


# Nonsense in one of these costs its value, not the position.
OPTIONAL_FIELDS = {
    "accuracy": Accuracy,
    "altitude": Altitude,
    "speed": Speed,
    "course": Course,
    "battery": Battery,
}


class Ping(NamedTuple):
    """One row of geolocation_data to be read, in the order of rows.COLUMNS; rows.py has the bytes.

    Instants are microseconds since EPOCH; the first three members are the key.
    """

    student_id: int
    timestamp_us: int
    device_id: int
    latitude: float
    longitude: float
    accuracy: float | None
    altitude: float | None
    speed: float | None
    course: float | None
    battery: int | None
    # A sum of Flags.
    flags: int | None
    received_us: int


class Flag(enum.IntFlag):
    """What is kept of a ping beside its values, in geolocation_data.flags."""

    # The app says that the fix is not valid: it is never the newest position.
    INVALID = 1
    # The timestamp was put right: 1,024 weeks behind, or counted from 2001.
    GPS_ROLLOVER = 2
    EPOCH_2001 = 4


class Sender(NamedTuple):
    """Who posts: a student's own device, or (student_id None) a gateway that names students."""

    device_id: int
    student_id: int | None


class Admission(NamedTuple):
    """The bounds within which pings are taken at this moment."""

    sender: Sender
    students: Container[int]
    received_us: int
    oldest_us: int
    newest_us: int


def number_us(timestamp: float) -> int:
    """Microseconds since EPOCH of a number of unix seconds or milliseconds."""
    if -MILLISECONDS_FROM < timestamp < MILLISECONDS_FROM:
        return round(timestamp * 1_000_000) - EPOCH_UNIX_US
    # Clipped only to keep a float from overflowing: far outside of any window either way.
    return round(max(-1e18, min(1e18, timestamp)) * 1_000) - EPOCH_UNIX_US


def instant_us(instant: datetime.datetime) -> int:
    """Microseconds since EPOCH of an aware instant."""
    return (instant - EPOCH) // _MICROSECOND


def instant(timestamp_us: int) -> datetime.datetime:
    """The aware UTC datetime of microseconds since EPOCH."""
    return EPOCH + datetime.timedelta(microseconds=timestamp_us)


_MICROSECOND = datetime.timedelta(microseconds=1)
