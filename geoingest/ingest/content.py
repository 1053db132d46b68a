"""What a request holds, once it was looked at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from geoingest import ping
from geoingest.ingest import rows

# Of a rejected ping, as quarantine keeps it.
RAW_BYTES = 1024


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
