"""OwnTracks in HTTP mode: one JSON message per request, speed in kilometres per hour.

https://owntracks.org/booklet/tech/json/: only `location` has a position that is the phone's. Some
senders write numbers as strings. A body of no bytes is a friend that was deleted.
"""

from __future__ import annotations

import orjson

from geoingest.ingest import parse
from geoingest.ingest.protocols import message


def decode(request: message.Request) -> message.Message:
    """The message of one request; ValueError when it is none."""
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
    return message.ping(
        fields.get("tst", fields.get("created_at", request.received_at)),
        fields.get("lat"),
        fields.get("lon"),
        accuracy=message.known(fields.get("acc"), above=0),
        altitude=message.known(fields.get("alt")),
        speed=message.not_negative(fields.get("vel"), unit=speed_unit),
        course=message.not_negative(fields.get("cog")),
        battery=message.not_negative(fields.get("batt")),
    )
