"""The ledger of erasures: a file outside of the database, whose restored copy knows nothing of later ones.

A line of JSON for each erasure, only ever added to: the student's number, its devices' numbers, when it
began. A line is on the disk before the first row is removed.
"""

from __future__ import annotations

import datetime
import io
import os
import pathlib
from typing import NamedTuple

import msgspec

from geoingest import errors


class Entry(msgspec.Struct, frozen=True):
    """One erasure; a student of this number who was added later is another one."""

    student_id: int
    device_ids: tuple[int, ...]
    erased_at: datetime.datetime


class Ledger(NamedTuple):
    """What the file holds, and the numbers of its lines that are none of ours or were cut short."""

    entries: list[Entry]
    unreadable: list[int]


def read(path: pathlib.Path) -> Ledger:
    """Every line; no file is an empty ledger. LocalError when it cannot be read."""
    entries: list[Entry] = []
    unreadable: list[int] = []
    for number, line in enumerate(_lines(path), start=1):
        try:
            entry = msgspec.json.decode(line, type=Entry)
        except (msgspec.DecodeError, UnicodeDecodeError):
            unreadable.append(number)
            continue
        if entry.erased_at.tzinfo is None:
            unreadable.append(number)
        else:
            entries.append(entry)
    return Ledger(entries, unreadable)


def append(path: pathlib.Path, entry: Entry) -> None:
    """Adds a line, unless it is there; it is on the disk when this returns. LocalError when it cannot be."""
    if entry in read(path).entries:
        return
    try:
        with _open(path) as file:
            # A line that a crash cut short stays a line of its own.
            start = b"\n" if _is_cut(path) else b""
            file.write(start + msgspec.json.encode(entry) + b"\n")
            os.fsync(file.fileno())
        _sync(path.parent)
    except OSError as exc:
        raise errors.LocalError(_words("write", path, exc)) from exc


def check(path: pathlib.Path) -> None:
    """LocalError unless a line could be added; makes the file, and its folder, if there is none."""
    try:
        _open(path).close()
        _sync(path.parent)
    except OSError as exc:
        raise errors.LocalError(_words("write", path, exc)) from exc


def _open(path: pathlib.Path) -> io.FileIO:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    # Unbuffered: a line is one write.
    return io.FileIO(descriptor, "ab")


def _lines(path: pathlib.Path) -> list[bytes]:
    try:
        return path.read_bytes().splitlines()
    except FileNotFoundError:
        return []
    except OSError as exc:
        raise errors.LocalError(_words("read", path, exc)) from exc


def _is_cut(path: pathlib.Path) -> bool:
    held = path.read_bytes()
    return bool(held) and not held.endswith(b"\n")


def _sync(folder: pathlib.Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _words(verb: str, path: pathlib.Path, exc: OSError) -> str:
    return f"cannot {verb} {path} ({exc.strerror}); name another with GEOINGEST_ERASURE_LEDGER"
