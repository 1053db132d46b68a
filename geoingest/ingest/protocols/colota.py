"""Colota for Android: the fields of OwnTracks with metres per second, or Overland's envelope.

https://colota.app/: its speed is in metres per second in every form, also where the form's own app
says kilometres per hour.
"""

from __future__ import annotations

from geoingest.ingest import parse
from geoingest.ingest.protocols import message, overland, owntracks


def decode(request: message.Request) -> message.Message:
    """The message of one request; ValueError when it is none."""
    fields = parse.document(request.body)
    if not isinstance(fields, dict):
        raise message.NoMessageError("no object")
    if "locations" in fields:
        return overland.decode(request)
    item = owntracks.location(fields, request, speed_unit=1.0)
    return message.Message(message.form(request.query).get("token"), [item])
