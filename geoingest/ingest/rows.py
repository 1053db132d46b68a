"""Pings in the forms PostgreSQL takes: binary COPY, and arrays for unnest."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterable, Sequence

from geoingest import ping

COLUMNS = (
    "student_id",
    "timestamp",
    "device_id",
    "latitude",
    "longitude",
    "accuracy",
    "altitude",
    "speed",
    "course",
    "battery",
    "received_at",
)
# Microseconds from 1970 to 2000, where PostgreSQL's clock starts.
_POSTGRES_EPOCH_US = 946_684_800_000_000
# Signature, flags, no header extension; then rows; then -1 fields.
_HEADER = b"PGCOPY\n\xff\r\n\x00" + struct.pack("!ii", 0, 0)
_TRAILER = struct.pack("!h", -1)


def _packer(given: tuple[bool, ...]) -> struct.Struct:
    """A row's layout for one pattern of optional columns: NULL is a length of -1 and no bytes."""
    optional = "".join(
        ("ih" if name == "battery" else "if") if is_given else "i"
        for name, is_given in zip(ping.OPTIONAL_FIELDS, given, strict=True)
    )
    return struct.Struct("!h" + "iq" + "iq" + "ii" + "id" + "id" + optional + "iq")


_PATTERNS = list(itertools.product((False, True), repeat=len(ping.OPTIONAL_FIELDS)))
_PACK = {given: _packer(given).pack for given in _PATTERNS}
_PACK_ALL = _PACK[True, True, True, True, True]
_PACK_NONE = _PACK[False, False, False, False, False]


def copy_bytes(pings: Iterable[ping.Ping]) -> bytes:
    """The pings as one binary COPY stream.

    https://www.postgresql.org/docs/current/sql-copy.html, Binary Format.
    Raises struct.error or OverflowError for a value that its column cannot hold.
    """
    parts = [_HEADER]
    append = parts.append
    for student_id, at_us, device_id, lat, lon, acc, alt, speed, course, battery, got_us in pings:
        at, got = at_us - _POSTGRES_EPOCH_US, got_us - _POSTGRES_EPOCH_US
        given = (
            acc is not None,
            alt is not None,
            speed is not None,
            course is not None,
            battery is not None,
        )
        optional: list[float] = []
        for value, width in ((acc, 4), (alt, 4), (speed, 4), (course, 4), (battery, 2)):
            optional += (-1,) if value is None else (width, value)
        append(
            _PACK[given](11, 8, student_id, 8, at, 4, device_id, 8, lat, 8, lon, *optional, 8, got)
        )
    append(_TRAILER)
    return b"".join(parts)


def arrays(pings: Sequence[ping.Ping]) -> list[list[object]]:
    """One array per column, for INSERT .. SELECT unnest(..)."""
    columns: list[list[object]] = [list(column) for column in zip(*pings, strict=True)]
    for position in (1, 10):
        columns[position] = [ping.instant(us) for us in columns[position]]  # type: ignore[arg-type]  # the two instants
    return columns
