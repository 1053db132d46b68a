"""Where a student was in a window, oldest first, page by page: as pings, as hours or as days.

A page has one resolution. `auto` has up to two parts, and one cursor walks through both:

1. Hours, or days where even hours are too many and whole days are seen, as far as the horizon, behind
   which there are no pings; when the pings since the horizon are too many as well, as far as they are
   rolled up.
2. Pings, behind the last one that part 1 has counted: an hour that the horizon cuts is shown once.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeAlias

from geoingest import db, ping
from geoingest.tracking import acting, cursor, shapes

MOST_POINTS = 10_000
# Above every device number: a page that starts at its window's beginning leaves none out.
_ANY_DEVICE = 2**31 - 1
_ROLLUPS: dict[shapes.Resolution, tuple[str, type[shapes.HourPoint | shapes.DayPoint]]] = {
    "hour": ("track_hours", shapes.HourPoint),
    "day": ("track_days", shapes.DayPoint),
}

Resolution: TypeAlias = shapes.Resolution | Literal["auto"]


class Window(NamedTuple):
    """What is asked: [start, end), of pings since `horizon` and of rollups since `oldest`."""

    start: datetime.datetime
    end: datetime.datetime
    horizon: datetime.datetime
    oldest: datetime.datetime
    resolution: Resolution


class Page(NamedTuple):
    """Points of one resolution, and the cursor of the next page, or None on the last.

    Rollups hold what was sent before `rolled_to`; for pings it is None.
    """

    resolution: shapes.Resolution
    points: Sequence[shapes.AnyPoint]
    following: cursor.Cursor | None
    rolled_to: datetime.datetime | None


async def fitting(
    asking: acting.Asking, student_id: int, window: Window, *, limit: int
) -> cursor.Cursor:
    """Where pages of `limit` points begin: `auto` becomes what fits on one, if anything does."""
    if window.resolution != "auto":
        return finest(window)
    queries, recent = db.queries(), max(window.start, window.horizon)
    pings = await asking.fetchval(
        queries["pings_in_hours"], student_id, recent, window.end, limit + 1
    )
    to_end = pings > limit
    if not to_end:
        begin = finest(window)
        if begin.resolution == "raw":
            return begin
    end = window.end if to_end else min(window.end, window.horizon)
    hours = await asking.fetchval(
        queries["count_hours"], student_id, window.start, end, window.oldest, limit + 1
    )
    if hours > limit and await asking.fetchval(queries["has_days"], student_id, window.start, end):
        return cursor.Cursor("day", to_end)
    return cursor.Cursor("hour", to_end)


def finest(window: Window) -> cursor.Cursor:
    """Where the walk begins that leaves out least: `auto` is hours before the horizon, then pings."""
    if window.resolution != "auto":
        return cursor.Cursor(window.resolution)
    return cursor.Cursor("hour" if window.start < window.horizon else "raw")


async def fetch(
    asking: acting.Asking,
    student_id: int,
    window: Window,
    after: cursor.Cursor,
    *,
    limit: int,
) -> Page:
    """The page behind a cursor; it holds less than `limit` points where a part ends, none at last."""
    if after.resolution != "raw":
        page = await _rollups(asking, student_id, window, after, limit)
        if page.points or window.resolution != "auto":
            return page
    return await _pings(asking, student_id, window, after, limit)


async def _rollups(
    asking: acting.Asking, student_id: int, window: Window, after: cursor.Cursor, limit: int
) -> Page:
    query, shape = _ROLLUPS[after.resolution]
    shown_to, end = after.timestamp or ping.EPOCH, window.end
    if window.resolution == "auto" and not after.to_end:
        end = min(end, window.horizon)
    # Asked first: what is rolled up meanwhile is more than was promised.
    rolled_to = await asking.fetchval(db.queries()["rolled_to"])
    rows = await asking.fetch(
        db.queries()[query],
        student_id,
        max(window.start, shown_to),
        end,
        window.oldest,
        shown_to,
        limit + 1,
    )
    points = [shape(*row.values()) for row in rows[:limit]]
    following = None
    if len(rows) > limit:
        following = after._replace(timestamp=points[-1].last_at)
    elif points and window.resolution == "auto" and window.horizon < window.end:
        following = cursor.Cursor("raw", timestamp=points[-1].last_at)
    return Page(after.resolution, points, following, rolled_to)


async def _pings(
    asking: acting.Asking, student_id: int, window: Window, after: cursor.Cursor, limit: int
) -> Page:
    start, device_id = max(window.start, window.horizon), _ANY_DEVICE
    if after.timestamp is not None and after.timestamp >= start:
        start, device_id = after.timestamp, after.device_id
    rows = await asking.fetch(
        db.queries()["track_points"],
        student_id,
        start,
        window.end,
        device_id,
        # One more than asked tells whether there is a next page.
        limit + 1,
    )
    points = [shapes.Point(*row.values()) for row in rows[:limit]]
    following = None
    if len(rows) > limit:
        last = points[-1]
        following = cursor.Cursor("raw", timestamp=last.timestamp, device_id=last.device_id)
    return Page("raw", points, following, None)
