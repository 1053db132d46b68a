"""Bytes, as they come, become rows to stage; what cannot be one is named by its line and a reason."""

from __future__ import annotations

import csv
import functools
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import msgspec

from geoingest.access import directory
from geoingest.access.directory_line import Line

Form: TypeAlias = Literal["ndjson", "csv"]
Row: TypeAlias = tuple[Any, ...]
# A school with a holiday each day of two years is shorter.
MOST_LINE_BYTES = 16 * 1024
_BOM = b"\xef\xbb\xbf"
_FLAGS = {"true": True, "false": False}
# msgspec's own nesting guard is Python's.
_BROKEN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, csv.Error)


class _BadLineError(Exception):
    """A line that cannot be taken."""

    def __init__(self, reason: directory.Reason, field: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.field = field


class Reading:
    """One body, from its first piece to its end."""

    def __init__(self, kind: str, form: Form) -> None:
        self._decode = _ndjson(kind) if form == "ndjson" else _Csv(kind).decode
        self._number = 0
        self._rest = b""
        # Lines with something in them, but for the header.
        self.lines = 0
        self.bad = 0
        self.bad_lines: list[directory.BadLine] = []

    def feed(self, piece: bytes) -> list[Row]:
        """The rows of the lines that end in this piece."""
        first, *others = piece.split(b"\n")
        self._grow(first)
        rows: list[Row] = []
        for part in others:
            self._take(rows)
            self._rest = b""
            self._grow(part)
        return rows

    def end(self) -> list[Row]:
        """The row of the last line, which may have no end."""
        rows: list[Row] = []
        self._take(rows)
        return rows

    def _grow(self, part: bytes) -> None:
        # No more of a line without end is kept than shows that it is too long.
        missing = MOST_LINE_BYTES + 1 - len(self._rest)
        self._rest += part[:missing]

    def _take(self, rows: list[Row]) -> None:
        self._number += 1
        line = self._rest.removeprefix(_BOM) if self._number == 1 else self._rest
        line = line.strip()
        if not line:
            return
        try:
            decoded = self._decoded(line)
        except _BadLineError as exc:
            self._note(exc.reason, exc.field)
        else:
            if decoded is None:
                return
            rows.append((self._number, *decoded.row()))
        self.lines += 1

    def _decoded(self, line: bytes) -> Line | None:
        if len(line) > MOST_LINE_BYTES:
            raise _BadLineError("too_long")
        decoded = self._decode(line)
        fault = None if decoded is None else decoded.fault()
        if fault is not None:
            raise _BadLineError("invalid", fault)
        return decoded

    def _note(self, reason: directory.Reason, field: str | None) -> None:
        self.bad += 1
        if len(self.bad_lines) < directory.MOST_BAD:
            self.bad_lines.append(directory.BadLine(self._number, reason, field))


def _ndjson(kind: str) -> Callable[[bytes], Line]:
    shape = directory.KINDS[kind]
    decode = msgspec.json.Decoder(shape).decode

    def decode_line(line: bytes) -> Line:
        try:
            return decode(line)
        except _BROKEN:
            try:
                members = msgspec.json.decode(line)
            except _BROKEN:
                raise _BadLineError("malformed") from None
            raise _what_is_wrong(shape, members) from None

    return decode_line


class _Csv:
    """A header line with the names of the fields, in any order; an empty cell is null."""

    def __init__(self, kind: str) -> None:
        self._shape = directory.KINDS[kind]
        self._names: list[str] | None = None
        self._is_lost = False

    def decode(self, line: bytes) -> Line | None:
        """The line; None for the header, and for what stands below one that is not understood."""
        if self._is_lost:
            return None
        try:
            (cells,) = csv.reader([line.decode()], strict=True)
        except _BROKEN:
            self._is_lost = self._names is None
            raise _BadLineError("malformed") from None
        if self._names is None:
            self._read_header(cells)
            return None
        if len(cells) != len(self._names):
            raise _BadLineError("malformed")
        members = {name: _cell(name, cell) for name, cell in zip(self._names, cells, strict=True)}
        try:
            return msgspec.convert(members, self._shape)
        except msgspec.ValidationError:
            raise _what_is_wrong(self._shape, members) from None

    def _read_header(self, cells: list[str]) -> None:
        self._is_lost = True
        known = [one.encode_name for one in msgspec.structs.fields(self._shape)]
        if not set(cells) <= set(known):
            raise _BadLineError("unknown_field")
        if len(set(cells)) < len(cells):
            raise _BadLineError("malformed")
        for one in msgspec.structs.fields(self._shape):
            if one.required and one.encode_name not in cells:
                raise _BadLineError("missing", one.encode_name)
        self._names, self._is_lost = cells, False


def _cell(name: str, cell: str) -> object:
    """As JSON would say it: lists have spaces between their parts."""
    if not cell:
        return None
    if name == "weekdays":
        return [int(part) if part.isdecimal() else part for part in cell.split()]
    if name == "holidays":
        return cell.split()
    if name in {"revoked", "sees_all", "school_hours_only"}:
        return _FLAGS.get(cell, cell)
    return cell


def _what_is_wrong(shape: type[Line], members: object) -> _BadLineError:
    """Why a line is not of this shape, without its words: the driver's own would repeat them."""
    if not isinstance(members, dict):
        return _BadLineError("malformed")
    fields = msgspec.structs.fields(shape)
    if not members.keys() <= {one.encode_name for one in fields}:
        return _BadLineError("unknown_field")
    for one in fields:
        name = one.encode_name
        if members.get(name) is None and one.required:
            return _BadLineError("missing", name)
        try:
            if name in members:
                msgspec.convert({name: members[name]}, _alone(shape, name))
        except (msgspec.ValidationError, RecursionError):
            return _BadLineError("invalid", name)
    return _BadLineError("malformed")


@functools.cache
def _alone(shape: type[Line], name: str) -> type[msgspec.Struct]:
    """The same with nothing but this field."""
    (found,) = (one for one in msgspec.structs.fields(shape) if one.encode_name == name)
    return msgspec.defstruct("Alone", [(name, found.type)])
