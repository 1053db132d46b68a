"""The answer to a phone: what became of each of its pings."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from geoingest import ping
from geoingest.ingest import content, submission


class RejectedPing(msgspec.Struct, gc=False):
    """Never send this one again: its position in the request, and why."""

    index: int
    reason: ping.Reason


class IgnoredField(msgspec.Struct, gc=False):
    """An optional field that was out of range or of the wrong type, stored as NULL."""

    index: int
    field: str


class PingsAnswer(msgspec.Struct, omit_defaults=True, gc=False):
    """received = stored + duplicate + rejected; all of it is committed."""

    received: int
    stored: int
    duplicate: int
    rejected: list[RejectedPing]
    ignored: list[IgnoredField] = []


_encode = msgspec.json.Encoder().encode
_ONE_STORED = _encode(PingsAnswer(1, 1, 0, []))


def encode(decoded: content.Decoded, verdict: submission.Verdict) -> bytes:
    """The answer's JSON."""
    if decoded.received == 1 and verdict.stored == 1 and not decoded.ignored:
        return _ONE_STORED
    rejected = [RejectedPing(one.position, one.reason) for one in decoded.rejected]
    if verdict.rejected:
        indexes = _indexes(decoded)
        rejected += [RejectedPing(indexes[at], reason) for at, reason in verdict.rejected.items()]
        rejected.sort(key=lambda one: one.index)
    return _encode(
        PingsAnswer(
            decoded.received,
            verdict.stored,
            verdict.duplicate,
            rejected,
            [IgnoredField(one.position, one.field) for one in decoded.ignored],
        )
    )


def _indexes(decoded: content.Decoded) -> Sequence[int]:
    """Where in the request each checked ping stood."""
    out = {one.position for one in decoded.rejected}
    return [index for index in range(decoded.received) if index not in out]
