"""A cursor says what a track has shown already: where its next page begins, as an opaque word."""

from __future__ import annotations

import base64
import binascii
import datetime
import struct
from typing import NamedTuple

from geoingest import errors, ping
from geoingest.tracking import shapes

# Below every device number: nothing of that instant is left to show.
NO_DEVICE = -(2**31)
_PACKED = struct.Struct("!Bqi")
# A cursor's first byte; the order is for good.
_KINDS: tuple[tuple[shapes.Resolution, bool], ...] = (
    ("raw", False),
    ("hour", False),
    ("hour", True),
    ("day", False),
    ("day", True),
)


class Cursor(NamedTuple):
    """Every ping up to `timestamp` was shown, in whatever resolution; None before the first page.

    At that instant itself those of `device_id` and above. Of `auto`, hours or days go on `to_end` of
    the window as far as there are any, or only to the horizon.
    """

    resolution: shapes.Resolution
    to_end: bool = False
    timestamp: datetime.datetime | None = None
    device_id: int = NO_DEVICE


def write(cursor: Cursor | None) -> str | None:
    """The cursor as a word for a URL."""
    if cursor is None or cursor.timestamp is None:
        return None
    kind = _KINDS.index((cursor.resolution, cursor.to_end))
    packed = _PACKED.pack(kind, ping.instant_us(cursor.timestamp), cursor.device_id)
    return base64.urlsafe_b64encode(packed).decode()


def read(text: str) -> Cursor:
    """The cursor back; BadQueryError for anything that `write` did not write."""
    try:
        kind, timestamp_us, device_id = _PACKED.unpack(base64.b64decode(text, b"-_", validate=True))
        resolution, to_end = _KINDS[kind]
        return Cursor(resolution, to_end, ping.instant(timestamp_us), device_id)
    except (binascii.Error, struct.error, ValueError, OverflowError, IndexError) as exc:
        raise errors.BadQueryError("cursor: take it unchanged from `next`") from exc
