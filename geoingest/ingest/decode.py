"""Bytes of a request become rows to store; what cannot be one is named with its reason."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Sequence
from typing import NamedTuple, cast

import msgspec
import orjson

from geoingest import errors, ping
from geoingest.ingest import admission, rows

RAW_BYTES = 1024

_document = msgspec.json.Decoder(ping.PingBody | list[ping.PingBody])
_line = msgspec.json.Decoder(ping.PingBody)
# msgspec's own nesting guard is Python's; the last two are the row's, should a check be missing.
_BROKEN = (msgspec.DecodeError, RecursionError, UnicodeDecodeError, struct.error, OverflowError)
# Beside what msgspec says itself: lone surrogates and numbers beyond every type.
_UNFIT = (msgspec.ValidationError, ValueError, OverflowError, struct.error)
_LONGEST_INTEGER = 30
_MEMBERS = ping.PingBody.__struct_fields__


class Rejected(NamedTuple):
    """A ping that can never be valid, as the device will be told and as quarantine keeps it."""

    position: int
    reason: ping.Reason
    raw: bytes
    device_id: int
    received_us: int


class Ignored(NamedTuple):
    """An optional field that was nonsense and is stored as NULL."""

    position: int
    field: str


class Decoded(NamedTuple):
    """One request: received == len(pings) + len(rejected)."""

    received: int
    pings: list[rows.Row]
    rejected: Sequence[Rejected] = ()
    ignored: Sequence[Ignored] = ()


def decode(body: bytes, *, lines: bool, terms: ping.Admission, max_pings: int) -> Decoded:
    """Decodes an object, an array or (`lines`) NDJSON.

    The fast path takes a body in which every ping is right; anything unusual goes through
    the slow path, which looks at each ping alone, so that one cannot harm its neighbours.
    Raises MalformedBodyError when nothing in it is JSON, BodyTooLargeError above max_pings.
    """
    try:
        bodies = _line.decode_lines(body) if lines else _document.decode(body)
        if not isinstance(bodies, list):
            bodies = [bodies]
        _check_count(len(bodies), max_pings)
        admitted = admission.admit(bodies, terms)
    except _BROKEN:
        return _salvage(body, lines=lines, terms=terms, max_pings=max_pings)
    if str in map(type, admitted):
        return _salvage(body, lines=lines, terms=terms, max_pings=max_pings)
    return Decoded(len(admitted), cast("list[rows.Row]", admitted))


def estimate(body: bytes, *, lines: bool) -> int:
    """How many pings a body holds, by the look of it: it may be refused without being decoded."""
    if lines:
        return body.strip().count(b"\n") + 1
    return 1 if body.startswith(b"{") else max(1, body.count(b"{"))


def _salvage(body: bytes, *, lines: bool, terms: ping.Admission, max_pings: int) -> Decoded:
    items = _parse_lines(body) if lines else _parse_document(body)
    _check_count(len(items), max_pings)
    pings: list[rows.Row] = []
    rejected: list[Rejected] = []
    ignored: list[Ignored] = []
    for index, item in enumerate(items):
        admitted, nonsense = _admit_one(item, terms)
        if isinstance(admitted, str):
            raw = _raw(item)
            rejected.append(
                Rejected(index, admitted, raw, terms.sender.device_id, terms.received_us)
            )
            continue
        pings.append(admitted)
        ignored += [Ignored(index, field) for field in nonsense]
    return Decoded(len(items), pings, rejected, ignored)


def _check_count(count: int, max_pings: int) -> None:
    if count > max_pings:
        raise errors.BodyTooLargeError(f"{count} pings; send at most {max_pings} per request")


def _parse_document(body: bytes) -> list[object]:
    try:
        document = _parse(body)
    except ValueError as exc:
        raise errors.MalformedBodyError from exc
    return document if isinstance(document, list) else [document]


def _parse_lines(body: bytes) -> list[object]:
    items: list[object] = []
    readable = False
    for line in body.splitlines():
        if not line.strip():
            continue
        try:
            items.append(_parse(line))
            readable = True
        except ValueError:
            # Bytes stand for a line that is no JSON; no parser returns them.
            items.append(line)
    if not readable:
        raise errors.MalformedBodyError
    return items


def _parse(text: bytes) -> object:
    """Any JSON value; ValueError when it is none. Takes NaN and Infinity, as phones' libraries do."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        pass
    try:
        parsed: object = json.loads(text, parse_int=_whole)
    except RecursionError as exc:
        raise ValueError("nested too deep") from exc
    return parsed


def _whole(digits: str) -> int:
    """Longer numbers are out of every range when cut, too; whole, thousands of digits are an error."""
    return int(digits[:_LONGEST_INTEGER])


def _admit_one(item: object, terms: ping.Admission) -> tuple[rows.Row | ping.Reason, list[str]]:
    if not isinstance(item, dict):
        return "malformed", []
    reason = _required_reason(item)
    if reason is not None:
        return reason, []
    nonsense = [name for name, kind in ping.OPTIONAL_FIELDS.items() if not _fits(item, name, kind)]
    # Only what is ours: a stranger's member may hold what no converter takes.
    kept = {name: item[name] for name in _MEMBERS if name in item and name not in nonsense}
    try:
        (admitted,) = admission.admit([msgspec.convert(kept, ping.PingBody)], terms)
    except _UNFIT:
        return "malformed", []
    return admitted, nonsense


def _required_reason(item: dict[str, object]) -> ping.Reason | None:
    """Why the members that decide are wrong, as exactly as can be said; None when they may be right."""
    timestamp, latitude, longitude = (
        item.get(name) for name in ("timestamp", "latitude", "longitude")
    )
    if timestamp is None:
        return "missing_timestamp"
    if any(_not_finite(value) for value in (timestamp, latitude, longitude)):
        return "not_finite"
    if _outside(latitude, 90):
        return "latitude_out_of_range"
    if _outside(longitude, 180):
        return "longitude_out_of_range"
    return None


def _outside(value: object, limit: int) -> bool:
    return isinstance(value, int | float) and not -limit <= value <= limit


def _not_finite(value: object) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def _fits(item: dict[str, object], name: str, kind: object) -> bool:
    value = item.get(name)
    if value is None:
        return True
    try:
        msgspec.convert(value, kind)
    except _UNFIT:
        return False
    return True


def _raw(item: object) -> bytes:
    """What was sent, cut to what quarantine keeps."""
    if isinstance(item, bytes):
        return item[:RAW_BYTES]
    try:
        # The standard library's, because it also writes NaN and lone surrogates.
        text = json.dumps(item, ensure_ascii=False, separators=(",", ":"))
    except RecursionError:
        return b"nested too deep"
    return text.encode(errors="backslashreplace")[:RAW_BYTES]
