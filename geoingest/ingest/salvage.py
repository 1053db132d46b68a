"""Pings looked at one by one, so that a bad one cannot harm its neighbours and is told why."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Iterable
from typing import TypeAlias

import msgspec

from geoingest import ping
from geoingest.ingest import admission, content, rows

# Beside what msgspec says itself: lone surrogates and numbers beyond every type.
UNFIT = (msgspec.ValidationError, ValueError, OverflowError, struct.error)
_MEMBERS = ping.PingBody.__struct_fields__

# The row or the reason, and the optional fields that are nonsense.
Admitted: TypeAlias = tuple[rows.Row | ping.Reason, list[str]]


def salvage(
    items: Iterable[object],
    terms: ping.Admission,
    admit_one: Callable[[object, ping.Admission], Admitted],
) -> content.Decoded:
    """What parsed JSON values come to, each by the same rule."""
    pings: list[rows.Row] = []
    rejected: list[content.Rejected] = []
    ignored: list[content.Ignored] = []
    index = -1
    for index, item in enumerate(items):
        admitted, nonsense = admit_one(item, terms)
        if isinstance(admitted, str):
            raw = _raw(item)
            rejected.append(
                content.Rejected(index, admitted, raw, terms.sender.device_id, terms.received_us)
            )
            continue
        pings.append(admitted)
        ignored += [content.Ignored(index, field) for field in nonsense]
    return content.Decoded(index + 1, pings, rejected, ignored)


def admit_one(item: object, terms: ping.Admission) -> Admitted:
    """What one parsed JSON value comes to."""
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
    except UNFIT:
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
    except UNFIT:
        return False
    return True


def _raw(item: object) -> bytes:
    """What was sent, cut to what quarantine keeps."""
    if isinstance(item, bytes):
        return item[: content.RAW_BYTES]
    try:
        # The standard library's, because it also writes NaN and lone surrogates.
        text = json.dumps(item, ensure_ascii=False, separators=(",", ":"))
    except RecursionError:
        return b"nested too deep"
    return text.encode(errors="backslashreplace")[: content.RAW_BYTES]
