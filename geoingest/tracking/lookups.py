"""Who looked at a student, newest first, page by page."""

from __future__ import annotations

import base64
import binascii
import datetime
import struct
from collections.abc import Sequence
from typing import NamedTuple

from geoingest import db, errors, ping
from geoingest.tracking import acting, shapes

MOST_LOOKUPS = 1_000
# Longer than a track's cursor, so that neither is taken for the other.
_PACKED = struct.Struct("!qq")


class Place(NamedTuple):
    """Where a page begins: before this look-up; 0 is before all of that instant."""

    looked_at: datetime.datetime
    lookup_id: int = 0


class Window(NamedTuple):
    """What is asked: [start, end), of what is kept since `oldest`."""

    start: datetime.datetime
    end: datetime.datetime
    oldest: datetime.datetime


class Page(NamedTuple):
    """Look-ups, and where the next page begins, or None on the last."""

    lookups: Sequence[shapes.Lookup]
    following: Place | None


async def fetch(
    asking: acting.Asking, student_id: int, window: Window, after: Place | None, *, limit: int
) -> Page:
    """The page behind a place, or the first."""
    begin = Place(window.end) if after is None else min(after, Place(window.end))
    rows = await asking.fetch(
        db.queries()["lookups_of"],
        student_id,
        max(window.start, window.oldest),
        *begin,
        # One more than asked tells whether there is a next page.
        limit + 1,
    )
    found = [_lookup(row) for row in rows[:limit]]
    following = None
    if len(rows) > limit:
        last = rows[limit - 1]
        following = Place(last["looked_at"], last["lookup_id"])
    return Page(found, following)


def write(place: Place | None) -> str | None:
    """The place as a word for a URL."""
    if place is None:
        return None
    packed = _PACKED.pack(ping.instant_us(place.looked_at), place.lookup_id)
    return base64.urlsafe_b64encode(packed).decode()


def read(text: str) -> Place:
    """The place back; BadQueryError for anything that `write` did not write."""
    try:
        looked_at_us, lookup_id = _PACKED.unpack(base64.b64decode(text, b"-_", validate=True))
        return Place(ping.instant(looked_at_us), lookup_id)
    except (binascii.Error, struct.error, ValueError, OverflowError) as exc:
        raise errors.BadQueryError("cursor: take it unchanged from `next`") from exc


def _lookup(row: db.Record) -> shapes.Lookup:
    return shapes.Lookup(
        row["viewer_id"],
        row["share_id"],
        row["kind"],
        _in_utc(row["window_from"]),
        _in_utc(row["window_to"]),
        row["rows"],
        row["looked_at"],
    )


def _in_utc(instant: datetime.datetime | None) -> datetime.datetime | None:
    """The driver writes the first and the last instant as infinity, and reads that without a zone."""
    return instant and instant.replace(tzinfo=datetime.UTC)
