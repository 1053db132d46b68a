"""OwnTracks in HTTP mode: one JSON message per request, speed in kilometres per hour.

https://owntracks.org/booklet/tech/json/: only `location` has a position that is the phone's. Some
senders write numbers as strings. A body of no bytes is a friend that was deleted.
"""

from __future__ import annotations

from typing import Literal

import msgspec
import orjson

from geoingest import ping
from geoingest.ingest import parse
from geoingest.ingest.protocols import message


class Fix(msgspec.Struct, gc=False):
    """A `location` as most send it, without its type."""

    tst: float
    lat: ping.Latitude
    lon: ping.Longitude
    acc: float | None = None
    alt: float | None = None
    vel: float | None = None
    cog: float | None = None
    batt: float | None = None

    def usual(self, *, speed_unit: float) -> message.Item:
        """Its ping; `speed_unit` in metres per second."""
        return message.usual(
            self.tst,
            self.lat,
            self.lon,
            accuracy=self.acc,
            altitude=self.alt,
            speed=None if self.vel is None else self.vel * speed_unit,
            course=self.cog,
            battery=self.batt,
        )


class _Location(Fix, gc=False, kw_only=True):
    kind: Literal["location"] = msgspec.field(name="_type")


_location = msgspec.json.Decoder(_Location)


def decode(request: message.Request) -> message.Message:
    """The message of one request; ValueError when it is none."""
    try:
        found = _location.decode(request.body)
        return message.Message(None, [found.usual(speed_unit=message.KILOMETRE_PER_HOUR)])
    except message.UNUSUAL:
        return _carefully(request)


def _carefully(request: message.Request) -> message.Message:
    if not request.body.strip():
        return message.Message(None, [], ignored=1)
    fields = parse.document(request.body)
    if not isinstance(fields, dict):
        raise message.NoMessageError("no object")
    kind = fields.get("_type")
    if kind == "encrypted":
        # It may be a position: kept with the rejects where it cannot be opened.
        return message.Message(None, [request.body], sealed=message.text(fields.get("data")))
    if kind != "location":
        return message.Message(None, [], ignored=1)
    return message.Message(None, [location(fields, request, speed_unit=message.KILOMETRE_PER_HOUR)])


def pace(seconds: int) -> bytes:
    """The answer that sets how often it sends; Android obeys where remote configuration is allowed."""
    configuration = {
        "_type": "configuration",
        "locatorInterval": seconds,
        "moveModeLocatorInterval": seconds,
    }
    command = {"_type": "cmd", "action": "setConfiguration", "configuration": configuration}
    return orjson.dumps([command])


def location(
    fields: message.Fields, request: message.Request, *, speed_unit: float
) -> message.Item:
    """The ping of a `location`; `speed_unit` in metres per second."""
    return message.item(
        fields.get("tst", fields.get("created_at", request.received_at)),
        fields.get("lat"),
        fields.get("lon"),
        accuracy=message.known(fields.get("acc"), above=0),
        altitude=message.known(fields.get("alt")),
        speed=message.not_negative(fields.get("vel"), unit=speed_unit),
        course=message.not_negative(fields.get("cog")),
        battery=message.not_negative(fields.get("batt")),
    )
