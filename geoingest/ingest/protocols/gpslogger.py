"""GPSLogger for Android, custom URL: whatever its user wrote, under the names of its own recipes.

https://gpslogger.app/: a query, or a form in the body with no Content-Type. `%ALL` sends every value
twice, in different units and forms; 0.0 stands for accuracy, altitude and direction that are not known.
"""

from __future__ import annotations

from geoingest.ingest.protocols import message

_TIMES = ("time", "timeoffset", "timestamp")


def decode(request: message.Request) -> message.Message:
    """The message of one request; ValueError when it is none."""
    fields = message.form(request.query)
    if request.body:
        fields |= message.form(request.body.decode(errors="replace"))
    latitude = _first(fields, "lat", "latitude")
    longitude = _first(fields, "lon", "lng", "longitude")
    token = fields.get("token")
    if latitude is None and longitude is None:
        return message.Message(token, [], ignored=1)
    speed = message.not_negative(_first(fields, "spd", "s", "speed"))
    if speed is None:
        speed = message.not_negative(fields.get("spd_kph"), unit=message.KILOMETRE_PER_HOUR)
    item = message.ping(
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
