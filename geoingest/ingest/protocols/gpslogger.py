"""GPSLogger for Android, custom URL: whatever its user wrote, under the names of its own recipes.

https://gpslogger.app/: a query, or a form in the body with no Content-Type. `%ALL` sends every value
twice, in different units and forms; 0.0 stands for accuracy, altitude and direction that are not known.
"""

from __future__ import annotations

import msgspec

from geoingest import ping
from geoingest.ingest.protocols import message

_TIMES = ("time", "timeoffset", "timestamp")


class _All(msgspec.Struct, gc=False):
    """What `%ALL` sends, as text."""

    time: ping.Timestamp
    lat: ping.Latitude
    lon: ping.Longitude
    spd: float
    acc: float | None = None
    alt: float | None = None
    dir: float | None = None
    batt: float | None = None
    token: str | None = None


def decode(request: message.Request) -> message.Message:
    """The message of one request; ValueError when it is none."""
    fields = message.form(request.query)
    if request.body:
        fields |= message.form(request.body.decode(errors="replace"))
    try:
        return _usual(msgspec.convert(fields, _All, strict=False))
    except message.UNUSUAL:
        return _carefully(fields, request)


def _usual(sent: _All) -> message.Message:
    item = message.usual(
        sent.time,
        sent.lat,
        sent.lon,
        accuracy=sent.acc,
        altitude=sent.alt or None,
        speed=sent.spd,
        course=sent.dir or None,
        battery=sent.batt,
    )
    return message.Message(sent.token, [item])


def _carefully(fields: message.Fields, request: message.Request) -> message.Message:
    latitude = _first(fields, "lat", "latitude")
    longitude = _first(fields, "lon", "lng", "longitude")
    token = message.text(fields.get("token")) or None
    if latitude is None and longitude is None:
        return message.Message(token, [], ignored=1)
    speed = message.not_negative(_first(fields, "spd", "s", "speed"))
    if speed is None:
        speed = message.not_negative(fields.get("spd_kph"), unit=message.KILOMETRE_PER_HOUR)
    item = message.item(
        _first(fields, *_TIMES) or request.received_at,
        latitude,
        longitude,
        accuracy=message.known(_first(fields, "acc", "accuracy"), above=0),
        altitude=_unless_zero(_first(fields, "alt", "altitude")),
        speed=speed,
        course=_unless_zero(_first(fields, "dir", "direction", "bearing")),
        battery=message.not_negative(_first(fields, "batt", "battery")),
    )
    return message.Message(token, [item])


def _first(fields: message.Fields, *names: str) -> object:
    for name in names:
        if name in fields:
            return fields[name]
    return None


def _unless_zero(value: object) -> float | None:
    return message.known(value) or None
