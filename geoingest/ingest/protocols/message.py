"""An app's request, and what it comes to: pings as POST /v1/pings takes them, and whose they are.

A protocol has two ways. The quick one takes a message in which everything is as it should be, typed by
msgspec: nearly all are. Whatever is unusual about the rest (numbers in strings, NaN, a fix that is not
valid, another's member in the place) the careful one looks at, value by value, and it decides.
"""

from __future__ import annotations

import datetime
import math
import urllib.parse
from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

import msgspec

from geoingest import ping

# One ping: a PingBody from the quick way; from the careful one a mapping, or whatever stood in its
# place, and what cannot be a ping is rejected with its reason later. A message has the one or the other.
Item: TypeAlias = object
Fields: TypeAlias = Mapping[str, object]

# Metres per second.
KNOT = 1852 / 3600
KILOMETRE_PER_HOUR = 1 / 3.6
_MOST_FIELDS = 200
# Five times what the largest batch of any app holds: more would hold up everybody else.
MOST_PINGS = 5000
_NUMBERS = frozenset({float, int, str})
_SHORTEST_INSTANT = len("2026-11-22T10:00:00Z")


class NoMessageError(ValueError):
    """The request is none of this app's."""


class UnusualError(ValueError):
    """The message is for the careful way."""


# What the quick way raises.
UNUSUAL = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, UnusualError)


class Request(NamedTuple):
    """What came: the query without its question mark, the body, and when (unix seconds)."""

    query: str
    content_type: str
    body: bytes
    received_at: float


class Message(NamedTuple):
    """The token, where it is part of what is sent; the pings; how many messages hold no position.

    `sealed` is a message within, for whoever has the device's key: base64 of nonce and secretbox.
    """

    token: str | None
    items: list[Item]
    ignored: int = 0
    sealed: str | None = None


def form(text: str) -> dict[str, str]:
    """Parameters by name, the first of each; an empty one is absent, and so are those beyond many."""
    fields: dict[str, str] = {}
    for pair in text.split("&", _MOST_FIELDS)[:_MOST_FIELDS]:
        name, _, value = pair.partition("=")
        if value and name not in fields:
            # Nearly all are plain already, and asking costs less; the names that we know all are.
            is_plain = "%" not in value and "+" not in value
            fields[name] = value if is_plain else urllib.parse.unquote_plus(value)
    return fields


def number(value: object) -> float | None:
    """A finite number, also one in a string; None for anything else."""
    # By its exact type: true is no number here.
    if type(value) not in _NUMBERS:
        return None
    try:
        found = float(value)  # type: ignore[arg-type]  # one of these
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def text(value: object) -> str:
    """A text, a number, true or false as text; empty for what has members of its own.

    These may be nested so deep that Python cannot write them.
    """
    return str(value) if isinstance(value, str | int | float) else ""


def degrees(value: object) -> object:
    """A coordinate; what is no number stays as it is, to be rejected."""
    found = number(value)
    return value if found is None else found


def known(value: object, *, unit: float = 1.0, above: float = -math.inf) -> float | None:
    """A reading in our unit; None where the app says by a value that it has none."""
    if value is None:
        return None
    found = number(value)
    return None if found is None or found <= above else found * unit


def not_negative(value: object, *, unit: float = 1.0) -> float | None:
    """The same, where what is below zero means unknown."""
    if value is None:
        return None
    found = number(value)
    return None if found is None or found < 0 else found * unit


def instant(value: object) -> object:
    """Unix seconds or milliseconds as a number; a text as RFC 3339, in UTC where it names no offset."""
    found = number(value)
    if found is not None or not isinstance(value, str):
        return value if found is None else found
    if value[-1:] == "Z" and len(value) >= _SHORTEST_INSTANT:
        # As most send it, and as it is taken: no need to look twice.
        return value
    try:
        moment = datetime.datetime.fromisoformat(value.strip())
    except ValueError:
        return value
    return (moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).isoformat()


def usual(
    timestamp: datetime.datetime | float,
    latitude: float,
    longitude: float,
    *,
    accuracy: float | None,
    altitude: float | None,
    speed: float | None,
    course: float | None,
    battery: float | None,
) -> ping.PingBody:
    """The quick way's item, of a place that is one; what is below zero is not known.

    UnusualError for a value that is out of its range, and for 0, 0.
    """
    if latitude == 0 == longitude:
        raise UnusualError
    if accuracy is not None and not 0 < accuracy <= ping.MOST_ACCURACY_M:
        _require_unknown(accuracy)
        accuracy = None
    if altitude is not None and not ping.LEAST_ALTITUDE_M <= altitude <= ping.MOST_ALTITUDE_M:
        raise UnusualError
    if speed is not None and not 0 <= speed <= ping.MOST_SPEED:
        _require_unknown(speed)
        speed = None
    if course is not None and not 0 <= course <= 360:
        _require_unknown(course)
        course = None
    if battery is not None and not 0 <= battery <= 100:
        _require_unknown(battery)
        battery = None
    return ping.PingBody(timestamp, latitude, longitude, accuracy, altitude, speed, course, battery)


def _require_unknown(reading: float) -> None:
    # Not so for what is too large, or no number.
    if not reading <= 0:
        raise UnusualError


def item(
    timestamp: object,
    latitude: object,
    longitude: object,
    *,
    accuracy: float | None = None,
    altitude: float | None = None,
    speed: float | None = None,
    course: float | None = None,
    battery: float | None = None,
    valid: bool = True,
) -> dict[str, object]:
    """One item: metres, metres per second, degrees, percent; whether the app calls the fix valid."""
    made = {
        "timestamp": instant(timestamp),
        "latitude": degrees(latitude),
        "longitude": degrees(longitude),
        "accuracy": accuracy,
        "altitude": altitude,
        "speed": speed,
        "course": course,
        "battery": battery,
    }
    if not valid:
        made["valid"] = False
    return made
