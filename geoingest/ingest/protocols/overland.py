"""Overland for iOS, and others that send its envelope: GeoJSON features in batches.

https://github.com/aaronpk/Overland-iOS#api: longitude first; a negative reading is one that is not
known; battery from 0 to 1; visits, trips and log entries have no geometry. `current` is the newest fix
while older ones drain.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
import orjson

from geoingest import ping
from geoingest.ingest import parse
from geoingest.ingest.protocols import message

# What its slider knows, in seconds.
_STEPS = {
    "1s": 1,
    "5s": 5,
    "10s": 10,
    "15s": 15,
    "30s": 30,
    "1m": 60,
    "2m": 120,
    "5m": 300,
    "10m": 600,
    "30m": 1800,
}


class _Point(msgspec.Struct, gc=False):
    type: Literal["Point"]
    coordinates: tuple[ping.Longitude, ping.Latitude]


class _Properties(msgspec.Struct, gc=False):
    timestamp: ping.Timestamp
    altitude: float | None = None
    speed: float | None = None
    course: float | None = None
    horizontal_accuracy: ping.Accuracy | None = None
    battery_level: float | None = None
    # With either it tells of something else.
    action: None = None
    type: None = None


class _Feature(msgspec.Struct, gc=False):
    geometry: _Point
    properties: _Properties


class _Batch(msgspec.Struct, gc=False):
    locations: Annotated[list[_Feature], msgspec.Meta(max_length=message.MOST_PINGS)]
    current: _Feature | None = None


_batch = msgspec.json.Decoder(_Batch)


def decode(request: message.Request) -> message.Message:
    """The message of one request; ValueError when it is none."""
    token = message.form(request.query).get("token")
    try:
        batch = _batch.decode(request.body)
        current = [] if batch.current is None else [batch.current]
        return message.Message(token, [_usual(one) for one in (*batch.locations, *current)])
    except message.UNUSUAL:
        return _carefully(request, token)


def _usual(feature: _Feature) -> message.Item:
    longitude, latitude = feature.geometry.coordinates
    properties = feature.properties
    level = properties.battery_level
    return message.usual(
        properties.timestamp,
        latitude,
        longitude,
        accuracy=properties.horizontal_accuracy,
        altitude=properties.altitude,
        speed=properties.speed,
        course=properties.course,
        battery=None if level is None else level * 100,
    )


def _carefully(request: message.Request, token: str | None) -> message.Message:
    document = parse.document(request.body)
    if not isinstance(document, dict):
        raise message.NoMessageError("no object")
    locations = document.get("locations")
    if not isinstance(locations, list):
        raise message.NoMessageError("no locations")
    if len(locations) > message.MOST_PINGS:
        raise message.NoMessageError("too many pings")
    features = [*locations, *([document["current"]] if document.get("current") else [])]
    items = [_item(feature) for feature in features]
    pings = [item for item in items if item is not None]
    return message.Message(token, pings, ignored=len(items) - len(pings))


def pace(seconds: int) -> bytes:
    """The answer that sets how often it sends: the next of its own steps, at most half an hour."""
    step = next((name for name, least in _STEPS.items() if least >= seconds), "30m")
    return orjson.dumps({"result": "ok", "set": {"send_interval": step}})


def _item(feature: object) -> message.Item | None:
    """None for what tells of no fix."""
    if not isinstance(feature, dict):
        return feature
    geometry, properties = feature.get("geometry"), feature.get("properties")
    if geometry is None:
        return None
    if not isinstance(geometry, dict) or not isinstance(properties, dict):
        return feature
    if geometry.get("type") != "Point" or {"action", "type"} & properties.keys():
        return None
    point = geometry.get("coordinates")
    if not isinstance(point, list) or len(point) < 2:
        return feature
    accuracy = message.number(properties.get("horizontal_accuracy"))
    return message.item(
        properties.get("timestamp"),
        point[1],
        point[0],
        accuracy=message.known(accuracy, above=0),
        altitude=message.known(properties.get("altitude")),
        speed=message.not_negative(properties.get("speed")),
        course=message.not_negative(properties.get("course")),
        battery=message.not_negative(properties.get("battery_level"), unit=100),
        # https://developer.apple.com/documentation/corelocation/cllocation/horizontalaccuracy
        valid=accuracy is None or accuracy >= 0,
    )
