"""OwnTracks in HTTP mode: one JSON message per request, speed in kilometres per hour.

https://owntracks.org/booklet/tech/json/: only `location` has a position that is the phone's. Some
senders write numbers as strings. A body of no bytes is a friend that was deleted.
"""

from __future__ import annotations

import orjson

from geoingest.ingest.protocols import message


def decode(request: message.Request) -> message.Message:
    """The message of one request; ValueError when it is none."""
    if not request.body.strip():
        return message.Message(None, [], ignored=1)
    fields = orjson.loads(request.body)
    if not isinstance(fields, dict):
        raise message.NoMessageError("no object")
    kind = fields.get("_type")
    if kind == "encrypted":
        # It may be a position: kept with the rejects, so that nothing is lost without a word.
        return message.Message(None, [fields])
    if kind != "location":
        return message.Message(None, [], ignored=1)
    made_at = fields.get("tst", fields.get("created_at", request.received_at))
    item = message.ping(
        made_at,
        fields.get("lat"),
        fields.get("lon"),
        accuracy=message.known(fields.get("acc"), above=0),
        altitude=message.known(fields.get("alt")),
        speed=message.not_negative(fields.get("vel"), unit=message.KILOMETRE_PER_HOUR),
        course=message.not_negative(fields.get("cog")),
        battery=message.not_negative(fields.get("batt")),
    )
    return message.Message(None, [item])
