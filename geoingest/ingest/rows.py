"""Pings in the forms PostgreSQL takes: rows of a binary COPY, and arrays for unnest.

A ping is encoded once, when it is admitted; from then on it is these bytes. They begin with the
key, and its numbers are big-endian and (since 2000) not negative: rows sort as their keys do.
"""

from __future__ import annotations

import operator
import struct
from collections.abc import Iterable, Sequence
from typing import TypeAlias

from geoingest import ping

# https://www.postgresql.org/docs/current/sql-copy.html, Binary Format: per row the number of fields,
# per field its length and its bytes; NULL is a length of -1 and no bytes.
Row: TypeAlias = bytes
# The beginning of a row: student, timestamp, device.
Key: TypeAlias = bytes

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
    "flags",
    "received_at",
)
FIELDS = len(COLUMNS)
KEY = slice(0, struct.calcsize("!h iq iq ii"))
NULL = struct.pack("!i", -1)
# The columns that every ping has, up to the longitude; then one real, the smallint, one instant.
pack_place = struct.Struct("!h iq iq ii id id").pack
pack_real = struct.Struct("!if").pack
pack_small = struct.Struct("!ih").pack
pack_instant = struct.Struct("!iq").pack

# Signature, flags, no header extension; then rows; then -1 fields.
_HEADER = b"PGCOPY\n\xff\r\n\x00" + struct.pack("!ii", 0, 0)
_TRAILER = struct.pack("!h", -1)
_timestamp = operator.itemgetter(slice(18, 26))
_FORMATS = [struct.Struct(f"!{letter}") for letter in "qqiddffffhhq"]
_LENGTH = struct.Struct("!i")
_INSTANT_BYTES = struct.calcsize("!iq")
# No flags, and when it was received: what nearly every row ends with.
_TAIL_BYTES = len(NULL) + _INSTANT_BYTES


def copy_bytes(rows: Iterable[Row]) -> bytes:
    """The rows as one binary COPY stream."""
    return b"".join([_HEADER, *rows, _TRAILER])


def encode(values: ping.Ping) -> Row:
    """One row, column by column; admission.admit writes the same bytes faster.

    Raises struct.error or OverflowError for a value that its column cannot hold.
    """
    parts = [struct.pack("!h", FIELDS)]
    for value, column in zip(values, _FORMATS, strict=True):
        parts += [NULL] if value is None else [_LENGTH.pack(column.size), column.pack(value)]
    return b"".join(parts)


def flagged(row: Row, flags: ping.Flag) -> Row:
    """The row of a ping that had no flags, with these."""
    return row[:-_TAIL_BYTES] + pack_small(2, flags) + row[-_INSTANT_BYTES:]


def decode(row: Row) -> ping.Ping:
    """The values that a row was encoded from; floats as far as their columns keep them."""
    values: list[float | None] = []
    at = 2
    for column in _FORMATS:
        (length,) = _LENGTH.unpack_from(row, at)
        at += _LENGTH.size
        if length < 0:
            values.append(None)
            continue
        values += column.unpack_from(row, at)
        at += length
    return ping.Ping._make(values)


def greatest_age_seconds(rows: Iterable[Row], received: Row) -> float:
    """From the oldest fix of the rows to the moment at which this one was received."""
    oldest_us = int.from_bytes(min(map(_timestamp, rows)), signed=True)
    return (int.from_bytes(received[-8:], signed=True) - oldest_us) / 1e6


def key(student_id: int, timestamp_us: int, device_id: int) -> Key:
    """What rows with these three begin with."""
    return pack_place(FIELDS, 8, student_id, 8, timestamp_us, 4, device_id, 8, 0.0, 8, 0.0)[KEY]


def arrays(rows: Sequence[Row]) -> list[list[object]]:
    """One array per column, for INSERT .. SELECT unnest(..)."""
    columns: list[list[object]] = [list(column) for column in zip(*map(decode, rows), strict=True)]
    for position in (1, 11):
        columns[position] = [ping.instant(us) for us in columns[position]]  # type: ignore[arg-type]  # the two instants
    return columns
