"""Query parameters become checked values, or a BadQueryError that names the parameter."""

from __future__ import annotations

import datetime

import msgspec
from aiohttp import web

from geoingest import errors, ping
from geoingest.tracking import track

# So many of the longest ids fit into one request line.
MOST_STUDENTS = 200
DEFAULT_LIMIT = 1_000
_DEFAULT_WINDOW = datetime.timedelta(days=1)
_TRACK = frozenset({"from", "to", "resolution", "limit", "cursor"})
_LARGEST_ID = 2**63 - 1


def student_id(request: web.Request) -> int:
    """The student of the path; NotFoundError for a number no student can have."""
    text = request.match_info["student_id"]
    number = int(text) if len(text) <= 19 else 0
    if not 0 < number <= _LARGEST_ID:
        raise errors.NotFoundError
    return number


def student_ids(request: web.Request) -> list[int] | None:
    """The students asked for; None when the question is for all."""
    _refuse_others(request, frozenset({"student_id"}))
    texts = request.query.getall("student_id", [])
    if len(texts) > MOST_STUDENTS:
        raise errors.BadQueryError(f"student_id: at most {MOST_STUDENTS} at once")
    return [_number("student_id", text, _LARGEST_ID) for text in texts] or None


def window(
    request: web.Request, *, horizon: datetime.datetime, now: datetime.datetime
) -> track.Window:
    """The window of a track: the last day unless said otherwise, never before the horizon."""
    _refuse_others(request, _TRACK)
    query = request.query
    if query.get("resolution", "auto") not in {"auto", "raw"}:
        raise errors.BadQueryError("resolution: auto or raw")
    end = _instant("to", query["to"]) if "to" in query else now
    start = _instant("from", query["from"]) if "from" in query else _a_day_before(end)
    if start > end:
        raise errors.BadQueryError("from: must not be after to")
    limit = _number("limit", query.get("limit", str(DEFAULT_LIMIT)), track.MOST_POINTS)
    after = track.read_cursor(query["cursor"]) if "cursor" in query else None
    return track.Window(max(start, horizon), max(end, horizon), limit, after)


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


def _a_day_before(end: datetime.datetime) -> datetime.datetime:
    try:
        return end - _DEFAULT_WINDOW
    except OverflowError:
        return end
