"""What a question says becomes checked values, or a BadQueryError that names the parameter."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import TypeVar

import msgspec
from aiohttp import hdrs, web

from geoingest import errors, http, ping
from geoingest.tracking import cursor, days, lookups, track

D = TypeVar("D", datetime.datetime, datetime.date)

RESOLUTIONS: tuple[track.Resolution, ...] = ("auto", "raw", "hour", "day")
# So many of the longest ids fit into one request line.
MOST_STUDENTS = 200
DEFAULT_LIMIT = 1_000
DEFAULT_LOOKUPS = 100
_DEFAULT_WINDOW = datetime.timedelta(days=1)
_DEFAULT_SPAN = datetime.timedelta(days=29)
# The clock that is furthest ahead of UTC's.
_EASTERNMOST = datetime.timedelta(hours=14)
_PAGE = ("limit", "cursor")
_WINDOW = frozenset({"from", "to"})
_TRACK = _WINDOW | {"resolution", *_PAGE}
_LOOKUPS = _WINDOW | {*_PAGE}
_LARGEST_ID = 2**63 - 1


def student_id(request: web.Request) -> int:
    """The student of the path; NotFoundError for a number no student can have."""
    return http.path_number(request, "student_id", most=_LARGEST_ID)


def student_ids(request: web.Request) -> list[int] | None:
    """The students asked for; None when the question is for all."""
    _refuse_others(request, frozenset({"student_id"}))
    texts = request.query.getall("student_id", [])
    if len(texts) > MOST_STUDENTS:
        raise errors.BadQueryError(f"student_id: at most {MOST_STUDENTS} at once")
    return [_number("student_id", text, _LARGEST_ID) for text in texts] or None


def media_type(request: web.Request, served: Sequence[str]) -> str:
    """The first of Accept that is served; NotAcceptableError when none is."""
    accept = request.headers.get(hdrs.ACCEPT, "*/*")
    for part in accept.split(","):
        kind = part.partition(";")[0].strip().lower()
        if kind in served:
            return kind
        if kind in {"application/*", "*/*", ""}:
            return http.JSON
    raise errors.NotAcceptableError(f"served here: {', '.join(served)}")


def window(
    request: web.Request,
    *,
    horizon: datetime.datetime,
    oldest: datetime.datetime,
    now: datetime.datetime,
) -> track.Window:
    """The window of a track: the last day unless said otherwise."""
    _refuse_others(request, _TRACK)
    query = request.query
    resolution = query.get("resolution", "auto")
    if resolution not in RESOLUTIONS:
        raise errors.BadQueryError(f"resolution: one of {', '.join(RESOLUTIONS)}")
    end = _instant("to", query["to"]) if "to" in query else now
    start = _instant("from", query["from"]) if "from" in query else _before(end, _DEFAULT_WINDOW)
    _check_order(start, end)
    return track.Window(start, end, horizon, oldest, resolution)


def page(request: web.Request, resolution: track.Resolution) -> tuple[int, cursor.Cursor | None]:
    """How many points, and behind which; None on the first page."""
    query = request.query
    limit = _number("limit", query.get("limit", str(DEFAULT_LIMIT)), track.MOST_POINTS)
    if "cursor" not in query:
        return limit, None
    after = cursor.read(query["cursor"])
    if resolution not in {"auto", after.resolution}:
        raise errors.BadQueryError("cursor: it belongs to another resolution")
    return limit, after


def refuse_page(request: web.Request) -> None:
    """BadQueryError when part of a file is asked for."""
    for name in _PAGE:
        if name in request.query:
            raise errors.BadQueryError(f"{name}: a file holds the whole window")


def span(request: web.Request, *, oldest: datetime.datetime, now: datetime.datetime) -> days.Span:
    """Which days: the last thirty unless said otherwise, both ends included."""
    _refuse_others(request, _WINDOW)
    query = request.query
    if "to" in query:
        last = _date("to", query["to"])
        first = _before(last, _DEFAULT_SPAN)
    else:
        # The school's today, wherever it is.
        last = (now + _EASTERNMOST).date()
        first = now.date() - _DEFAULT_SPAN
    if "from" in query:
        first = _date("from", query["from"])
    _check_order(first, last)
    return days.Span(first, last, oldest)


def lookup_window(
    request: web.Request, *, oldest: datetime.datetime, now: datetime.datetime
) -> lookups.Window:
    """The window of look-ups: all that are kept unless said otherwise."""
    _refuse_others(request, _LOOKUPS)
    query = request.query
    end = _instant("to", query["to"]) if "to" in query else now
    start = _instant("from", query["from"]) if "from" in query else min(oldest, end)
    _check_order(start, end)
    return lookups.Window(start, end, oldest)


def lookup_page(request: web.Request) -> tuple[int, lookups.Place | None]:
    """How many look-ups, and behind which; None on the first page."""
    query = request.query
    limit = _number("limit", query.get("limit", str(DEFAULT_LOOKUPS)), lookups.MOST_LOOKUPS)
    return limit, lookups.read(query["cursor"]) if "cursor" in query else None


def _refuse_others(request: web.Request, known: frozenset[str]) -> None:
    unknown = sorted(set(request.query) - known)
    if unknown:
        raise errors.BadQueryError(f"{unknown[0]}: no such parameter; there are: {sorted(known)}")


def _number(name: str, text: str, most: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 19 and 0 < int(text) <= most):
        raise errors.BadQueryError(f"{name}: a whole number from 1 to {most}")
    return int(text)


def _instant(name: str, text: str) -> datetime.datetime:
    try:
        instant: datetime.datetime = msgspec.convert(text.replace(" ", "+"), ping.Timestamp)
        return instant.astimezone(datetime.UTC)
    except (msgspec.ValidationError, OverflowError) as exc:
        raise errors.BadQueryError(
            f"{name}: RFC 3339 with an offset, as 2026-11-22T10:00:00Z"
        ) from exc


def _date(name: str, text: str) -> datetime.date:
    try:
        return msgspec.convert(text, datetime.date)
    except msgspec.ValidationError as exc:
        raise errors.BadQueryError(f"{name}: a date, as 2026-11-22") from exc


def _before(end: D, by: datetime.timedelta) -> D:
    try:
        return end - by
    except OverflowError:
        return end


def _check_order(start: D, end: D) -> None:
    if start > end:
        raise errors.BadQueryError("from: must not be after to")
