"""Traccar Client and everything else that speaks OsmAnd's protocol.

https://www.traccar.org/osmand/: parameters in the query, or in the body as a form; the JSON of client
9.x, one location in an envelope; an array of flat objects. In forms speed is in knots, in JSON in metres
per second. The device's identifier is its token.
"""

from __future__ import annotations

import msgspec

from geoingest import http, ping
from geoingest.ingest import parse
from geoingest.ingest.protocols import message

_TRUE = ("true", "1")
# A whole number of seconds below, of milliseconds from here on.
_MILLISECONDS_FROM = 2_147_483_647


class _Form(msgspec.Struct, gc=False):
    """What all clients send that write forms, as text."""

    id: str
    timestamp: float
    lat: ping.Latitude
    lon: ping.Longitude
    accuracy: float | None = None
    altitude: float | None = None
    speed: float | None = None
    bearing: float | None = None
    batt: float | None = None
    # Each of these would need a closer look.
    valid: None = None
    location: None = None
    heading: None = None


class _Coords(msgspec.Struct, gc=False):
    latitude: ping.Latitude
    longitude: ping.Longitude
    accuracy: float | None = None
    altitude: float | None = None
    speed: float | None = None
    heading: float | None = None


class _Battery(msgspec.Struct, gc=False):
    level: float | None = None


class _Location(msgspec.Struct, gc=False):
    timestamp: ping.Timestamp
    coords: _Coords
    battery: _Battery = msgspec.field(default_factory=_Battery)


class _Envelope(msgspec.Struct, gc=False):
    """What client 9 sends."""

    device_id: str
    location: _Location


_envelope = msgspec.json.Decoder(_Envelope)


def decode(request: message.Request) -> message.Message:
    """The message of one request; ValueError when it is none."""
    if request.content_type.startswith(http.JSON):
        try:
            return _usual_json(_envelope.decode(request.body))
        except message.UNUSUAL:
            return _of_json(parse.document(request.body), request)
    fields = message.form(request.query or request.body.decode(errors="replace"))
    try:
        return _usual_form(msgspec.convert(fields, _Form, strict=False))
    except message.UNUSUAL:
        return _message(fields, [_of_form(fields, request, speed_unit=message.KNOT)])


def _usual_form(form: _Form) -> message.Message:
    timestamp = form.timestamp
    item = message.usual(
        timestamp if timestamp < _MILLISECONDS_FROM else timestamp / 1000,
        form.lat,
        form.lon,
        accuracy=form.accuracy,
        altitude=form.altitude,
        speed=None if form.speed is None else form.speed * message.KNOT,
        course=form.bearing,
        battery=form.batt,
    )
    return message.Message(form.id, [item])


def _usual_json(envelope: _Envelope) -> message.Message:
    location = envelope.location
    coords, level = location.coords, location.battery.level
    item = message.usual(
        location.timestamp,
        coords.latitude,
        coords.longitude,
        accuracy=coords.accuracy,
        altitude=coords.altitude,
        speed=coords.speed,
        course=coords.heading,
        battery=None if level is None else level * 100,
    )
    return message.Message(envelope.device_id, [item])


def _message(fields: message.Fields, items: list[message.Item]) -> message.Message:
    token = fields.get("device_id") or fields.get("id") or fields.get("deviceid")
    pings = [item for item in items if item is not None]
    return message.Message(message.text(token) or None, pings, len(items) - len(pings))


def _of_form(
    fields: message.Fields, request: message.Request, *, speed_unit: float
) -> message.Item | None:
    """None for a heartbeat, which has no coordinates."""
    latitude, longitude = fields.get("lat"), fields.get("lon")
    if "location" in fields:
        latitude, _, longitude = message.text(fields["location"]).partition(",")
    if latitude is None and longitude is None:
        return None
    return message.item(
        _timestamp(fields.get("timestamp"), request),
        latitude,
        longitude,
        # 0 is what the client says where it does not know.
        accuracy=message.known(fields.get("accuracy"), above=0),
        altitude=message.known(fields.get("altitude")),
        speed=message.not_negative(fields.get("speed"), unit=speed_unit),
        course=message.not_negative(fields.get("bearing", fields.get("heading"))),
        battery=message.not_negative(fields.get("batt")),
        valid="valid" not in fields or message.text(fields["valid"]).lower() in _TRUE,
    )


def _of_json(document: object, request: message.Request) -> message.Message:
    documents = document if isinstance(document, list) else [document]
    fields = [one for one in documents if isinstance(one, dict)]
    if not fields or len(fields) < len(documents):
        raise message.NoMessageError("no object")
    if len(fields) > message.MOST_PINGS:
        raise message.NoMessageError("too many pings")
    first = {**message.form(message.text(fields[0].get("_")).strip("&")), **fields[0]}
    return _message(first, [_of_object(one, request) for one in fields])


def _of_object(fields: message.Fields, request: message.Request) -> message.Item | None:
    location = fields.get("location")
    if not isinstance(location, dict):
        return _of_form(fields, request, speed_unit=1.0)
    coords = location.get("coords", location)
    if not isinstance(coords, dict) or "latitude" not in coords:
        return None
    battery = location.get("battery")
    level = battery.get("level") if isinstance(battery, dict) else None
    return message.item(
        location.get("timestamp", request.received_at),
        coords["latitude"],
        coords.get("longitude"),
        accuracy=message.known(coords.get("accuracy"), above=0),
        altitude=message.known(coords.get("altitude")),
        speed=message.not_negative(coords.get("speed")),
        course=message.not_negative(coords.get("heading")),
        battery=message.not_negative(level, unit=100),
    )


def _timestamp(value: object, request: message.Request) -> object:
    if value is None:
        return request.received_at
    found = message.number(value)
    if found is not None and found >= _MILLISECONDS_FROM:
        return found / 1000
    return value
