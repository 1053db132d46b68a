"""Fixes in the words of an app become rows, with what phones are known to get wrong put right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import msgspec

from geoingest import metrics, ping
from geoingest.ingest import admission, content, rows, salvage

# Receivers that count weeks in ten bits fall back by 1,024 of them; one app counts from 2001.
_BEHIND_US = {
    ping.Flag.GPS_ROLLOVER: 619_315_200_000_000,
    ping.Flag.EPOCH_2001: 978_307_200_000_000,
}
_corrected = {flag: metrics.pings_corrected.labels(str(flag.name).lower()) for flag in _BEHIND_US}


def decode(items: Sequence[object], terms: ping.Admission) -> content.Decoded:
    """What the items of a message come to, as its protocol has made them: all in the one way or the other.

    Exactly 0, 0 is a receiver without a fix. A timestamp that is too old and would be right but for
    a known fault is corrected; a fix that is not valid is kept, and never the newest position.
    """
    if not items or type(items[0]) is not ping.PingBody:
        return salvage.salvage(items, terms, _admit_one)
    admitted = admission.admit(cast("Sequence[ping.PingBody]", items), terms)
    if str in map(type, admitted):
        return salvage.salvage(map(msgspec.to_builtins, items), terms, _admit_one)
    return content.Decoded(len(admitted), cast("list[rows.Row]", admitted))


def _admit_one(item: object, terms: ping.Admission) -> salvage.Admitted:
    if not isinstance(item, dict):
        return "malformed", []
    if _is_null_island(item):
        return "null_island", []
    flags = ping.Flag(0) if item.get("valid", True) else ping.Flag.INVALID
    admitted, nonsense = salvage.admit_one(item, terms)
    if admitted == "too_old" and (found := _put_right(item["timestamp"], terms)):
        flag, timestamp_us = found
        flags |= flag
        _corrected[flag].inc()
        right = {**item, "timestamp": ping.instant(timestamp_us)}
        admitted, nonsense = salvage.admit_one(right, terms)
    if flags and isinstance(admitted, bytes):
        return rows.flagged(admitted, flags), nonsense
    return admitted, nonsense


def _put_right(timestamp: object, terms: ping.Admission) -> tuple[ping.Flag, int] | None:
    """The one known fault that explains it, and when it was; None when none or more than one does."""
    sent = msgspec.convert(timestamp, ping.Timestamp | int | float)
    us = ping.number_us(sent) if isinstance(sent, int | float) else ping.instant_us(sent)
    plausible = [
        (flag, us + behind_us)
        for flag, behind_us in _BEHIND_US.items()
        if terms.oldest_us <= us + behind_us <= terms.newest_us
    ]
    return plausible[0] if len(plausible) == 1 else None


def _is_null_island(item: dict[str, object]) -> bool:
    return item.get("latitude") == 0 and item.get("longitude") == 0
