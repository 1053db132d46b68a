"""A student's pings in a window, oldest first, page by page."""

from __future__ import annotations

import base64
import binascii
import datetime
import struct
from typing import NamedTuple

from geoingest import db, errors, ping
from geoingest.tracking import shapes

MOST_POINTS = 10_000
# Above every device number: a page that starts at its window's beginning leaves none out.
_ANY_DEVICE = 2**31 - 1
_CURSOR = struct.Struct("!qi")


class Cursor(NamedTuple):
    """The last point of a page; the next page starts behind it."""

    timestamp: datetime.datetime
    device_id: int


class Window(NamedTuple):
    """What is asked: [start, end), at most `limit` points, behind `after`."""

    start: datetime.datetime
    end: datetime.datetime
    limit: int
    after: Cursor | None


async def fetch(
    connection: db.Connection, student_id: int, window: Window
) -> tuple[list[shapes.Point], Cursor | None]:
    """One page of points and the cursor of the next, or None on the last."""
    start, device_id = window.start, _ANY_DEVICE
    if window.after is not None and window.after.timestamp >= start:
        start, device_id = window.after
    rows = await connection.fetch(
        db.queries()["track_points"],
        student_id,
        start,
        window.end,
        device_id,
        # One more than asked tells whether there is a next page.
        window.limit + 1,
    )
    points = [shapes.Point(*row.values()) for row in rows[: window.limit]]
    if len(rows) <= window.limit:
        return points, None
    return points, Cursor(points[-1].timestamp, points[-1].device_id)


def write_cursor(cursor: Cursor | None) -> str | None:
    """The cursor as an opaque word for a URL."""
    if cursor is None:
        return None
    packed = _CURSOR.pack(ping.instant_us(cursor.timestamp), cursor.device_id)
    return base64.urlsafe_b64encode(packed).decode()


def read_cursor(text: str) -> Cursor:
    """The cursor back; BadQueryError for anything that write_cursor did not write."""
    try:
        timestamp_us, device_id = _CURSOR.unpack(base64.b64decode(text, b"-_", validate=True))
        return Cursor(ping.instant(timestamp_us), device_id)
    except (binascii.Error, struct.error, ValueError, OverflowError) as exc:
        raise errors.BadQueryError("cursor: take it unchanged from `next`") from exc
