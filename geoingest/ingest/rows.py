"""Pings in the forms PostgreSQL takes: binary COPY, and arrays for unnest."""

from __future__ import annotations

import itertools
import operator
import struct
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

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
# Signature, flags, no header extension; then rows; then -1 fields.
_HEADER = b"PGCOPY\n\xff\r\n\x00" + struct.pack("!ii", 0, 0)
_TRAILER = struct.pack("!h", -1)
# Stands behind each row, so that one itemgetter picks values and lengths alike.
_LENGTHS = (len(COLUMNS), 8, 4, 2, -1)
_FIELDS, _EIGHT, _FOUR, _TWO, _NULL = range(len(COLUMNS), len(COLUMNS) + len(_LENGTHS))


class _Layout(NamedTuple):
    """How rows with one pattern of NULLs are laid out: which items, packed how."""

    pick: operator.itemgetter[tuple[float, ...]]
    pack: Callable[..., bytes]


def _layout(given: tuple[bool, ...]) -> _Layout:
    form, items = "!hiqiqiiidid", [_FIELDS, _EIGHT, 0, _EIGHT, 1, _FOUR, 2, _EIGHT, 3, _EIGHT, 4]
    for column, is_given in enumerate(given, start=5):
        length, letter = (_TWO, "h") if COLUMNS[column] == "battery" else (_FOUR, "f")
        # NULL is a length of -1 and no bytes.
        form += f"i{letter}" if is_given else "i"
        items += [length, column] if is_given else [_NULL]
    form += "iq"
    items += [_EIGHT, 10]
    return _Layout(operator.itemgetter(*items), struct.Struct(form).pack)


_LAYOUTS = {given: _layout(given) for given in itertools.product((False, True), repeat=5)}


def copy_bytes(pings: Iterable[ping.Ping]) -> bytes:
    """The pings as one binary COPY stream.

    https://www.postgresql.org/docs/current/sql-copy.html, Binary Format.
    Raises struct.error or OverflowError for a value that its column cannot hold.
    """
    parts = [_HEADER]
    append = parts.append
    for row in pings:
        _, _, _, _, _, accuracy, altitude, speed, course, battery, _ = row
        pick, pack = _LAYOUTS[
            accuracy is not None,
            altitude is not None,
            speed is not None,
            course is not None,
            battery is not None,
        ]
        append(pack(*pick(row + _LENGTHS)))
    append(_TRAILER)
    return b"".join(parts)


def arrays(pings: Sequence[ping.Ping]) -> list[list[object]]:
    """One array per column, for INSERT .. SELECT unnest(..)."""
    columns: list[list[object]] = [list(column) for column in zip(*pings, strict=True)]
    for position in (1, 10):
        columns[position] = [ping.instant(us) for us in columns[position]]  # type: ignore[arg-type]  # the two instants
    return columns
