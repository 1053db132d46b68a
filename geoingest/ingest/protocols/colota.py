"""Colota for Android: the fields of OwnTracks with metres per second, or Overland's envelope.

https://colota.app/: its speed is in metres per second in every form, also where the form's own app
says kilometres per hour.
"""

from __future__ import annotations

import msgspec

from geoingest.ingest import parse
from geoingest.ingest.protocols import message, overland, owntracks

_fix = msgspec.json.Decoder(owntracks.Fix)


def decode(request: message.Request) -> message.Message:
    """The message of one request; ValueError when it is none."""
    token = message.form(request.query).get("token")
    try:
        found = _fix.decode(request.body)
        return message.Message(token, [found.usual(speed_unit=1.0)])
    except message.UNUSUAL:
        return _carefully(request, token)


def _carefully(request: message.Request, token: str | None) -> message.Message:
    fields = parse.document(request.body)
    if not isinstance(fields, dict):
        raise message.NoMessageError("no object")
    if "locations" in fields:
        return overland.decode(request)
    item = owntracks.location(fields, request, speed_unit=1.0)
    return message.Message(token, [item])
