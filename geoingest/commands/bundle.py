"""Everything that is held of a student, as one ZIP: written beside, in constant memory, and renamed when whole.

All of it is read in one snapshot of the database. A day may be archived and still, in part, in the table,
while its pings leave: each is written once.
"""

from __future__ import annotations

import base64
import contextlib
import datetime
import os
import pathlib
import zipfile
from collections.abc import Iterable, Iterator
from typing import Any

import orjson
import psycopg

from geoingest import db, errors
from geoingest.lifecycle import archived, erasure, traces
from geoingest.tracking import formats, shapes

_BATCH_ROWS = 2_000
_FIRST = datetime.datetime(1, 1, 1, tzinfo=datetime.UTC)
_LAST = datetime.datetime(9999, 12, 31, tzinfo=datetime.UTC)
_DAY = datetime.timedelta(days=1)
_POINT = shapes.Point.__struct_fields__
_FILES = {
    "student.json": "student_held",
    "devices.json": "devices_held",
    "guardianships.json": "guardianships_held",
    "shares.json": "shares_held",
    "hours.json": "hours_held",
    "days.json": "days_held",
    "rejects.json": "rejects_held",
    "lookups.json": "lookups_held",
}
README = """\
What is held of student {student_id}, as of {as_of}.

All instants are UTC. Degrees are WGS 84; distances, accuracy and altitude are metres, speeds metres
per second, course degrees clockwise from true north, battery percent. null: not known.

pings.gpx           every position, for maps and other programs
pings.json          the same with all that is held of each: timestamp is the device's clock,
                    received_at ours; flags: 1 the app calls it not valid, 2 and 4 its timestamp was
                    put right (sums of these)
hours.json          what the pings of an hour come to; hour is its beginning; latitude and longitude
                    are the mean, south to east the box around all
days.json           the same of a day at the school
rejects.json        what the student's devices, or a bus unit that named the student, sent and could
                    not be taken, with the reason; raw is the first 1,024 bytes as text, raw_base64
                    where they are none
devices.json        phones and other devices of the student, without their tokens
guardianships.json  who may see the student, by number, and on which terms; null: without beginning
                    or end
shares.json         links by which anybody may see the student for a while, who made them, without
                    their tokens
student.json        the student's number and since when; external_id, school and class are what the
                    school platform calls them
lookups.json        who looked, by number, at what and when; rows: how many were shown, null of a file;
                    share_id: by which link, null: by none
"""
_SINCE_ARCHIVE = "pings.gpx and pings.json hold archived days, too.\n"


def write(
    connection: db.DirectConnection,
    student_id: int,
    path: pathlib.Path,
    *,
    archive_dir: pathlib.Path | None,
) -> None:
    """Writes a new file that only we can read.

    UnknownStudentError when nothing is held, LocalError when the file is there or cannot be written.
    """
    connection.execute("SET timezone = 'UTC'")
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    connection.read_only = True
    with connection.transaction():
        if not traces.is_held(connection, student_id, []):
            raise erasure.UnknownStudentError(f"no such student: {student_id}")
        with _whole(path) as file, zipfile.ZipFile(file, "w") as bundle:
            _write(bundle, connection, student_id, archive_dir)


def _write(
    bundle: zipfile.ZipFile,
    connection: db.DirectConnection,
    student_id: int,
    archive_dir: pathlib.Path | None,
) -> None:
    readme = README.format(student_id=student_id, as_of=formats.text(_now()))
    if archive_dir is not None:
        readme += f"\n{_SINCE_ARCHIVE}"
    _member(bundle, "README.txt", [readme.encode()])
    _member(bundle, "pings.gpx", _gpx(_pings(connection, student_id, archive_dir)))
    _member(bundle, "pings.json", _json(_pings(connection, student_id, archive_dir)))
    for name, query in _FILES.items():
        _member(bundle, name, _json(connection.execute(db.queries()[query], [student_id])))


def _pings(
    connection: db.DirectConnection, student_id: int, archive_dir: pathlib.Path | None
) -> Iterator[dict[str, Any]]:
    """Oldest first; a day that is archived comes from its file and, what it lacks, from the table."""
    start = _FIRST
    for day in archived.days(archive_dir) if archive_dir else []:
        begins_at = datetime.datetime.combine(day, datetime.time(), datetime.UTC)
        yield from _in_table(connection, student_id, start, begins_at)
        start = begins_at + _DAY
        both = [
            *archived.pings(archive_dir, day, student_id),  # type: ignore[arg-type]  # not None
            *_in_table(connection, student_id, begins_at, start),
        ]
        once = {(ping["timestamp"], ping["device_id"]): ping for ping in both}
        yield from (once[key] for key in sorted(once))
    yield from _in_table(connection, student_id, start, _LAST)


def _in_table(
    connection: db.DirectConnection,
    student_id: int,
    start: datetime.datetime,
    end: datetime.datetime,
) -> Iterator[dict[str, Any]]:
    with psycopg.RawServerCursor(connection, "export") as cursor:
        cursor.execute(db.queries()["pings_held"], [student_id, start, end])
        while rows := cursor.fetchmany(_BATCH_ROWS):
            yield from rows


def _gpx(pings: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    form = formats.GPX
    yield (form.head + form.part.format("raw")).encode()
    for ping in pings:
        yield form.point(shapes.Point(**{name: ping[name] for name in _POINT})).encode()
    yield (form.part_end + form.foot).encode()


def _json(rows: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    """An array, a line for each row."""
    separator = b"[\n"
    for row in rows:
        yield separator + orjson.dumps(_readable(row), option=orjson.OPT_UTC_Z)
        separator = b",\n"
    yield b"\n]\n" if separator == b",\n" else b"[]\n"


def _readable(row: dict[str, Any]) -> dict[str, Any]:
    raw = row.pop("raw", None)
    if raw is not None:
        try:
            row["raw"] = raw.decode()
        except UnicodeDecodeError:
            row["raw_base64"] = base64.b64encode(raw).decode()
    return row


def _member(bundle: zipfile.ZipFile, name: str, pieces: Iterable[bytes]) -> None:
    info = zipfile.ZipInfo(name, _now().timetuple()[:6])
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = 0o600 << 16
    with bundle.open(info, "w", force_zip64=True) as member:
        for piece in pieces:
            member.write(piece)


@contextlib.contextmanager
def _whole(path: pathlib.Path) -> Iterator[Any]:
    beside = path.with_name(f".{path.name}.unfinished")
    try:
        if path.exists():
            raise errors.LocalError(f"{path} exists and is kept; name another file")
        beside.unlink(missing_ok=True)
        descriptor = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w+b") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            # Unlike a rename it never replaces what somebody has put there meanwhile.
            path.hardlink_to(beside)
        finally:
            beside.unlink(missing_ok=True)
    except FileExistsError as exc:
        raise errors.LocalError(f"{path} exists and is kept; name another file") from exc
    except OSError as exc:
        raise errors.LocalError(f"cannot write {path}: {exc.strerror}") from exc


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
