"""The same as directory_import from a file, for a command: the same lines, the same statements, psycopg."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

import psycopg

from geoingest import db, errors
from geoingest.access import directory, directory_reading

_PIECE_BYTES = 64 * 1024
# What somebody else has changed between our look and our write.
_OVERTAKEN = (
    psycopg.errors.UniqueViolation,
    psycopg.errors.ForeignKeyViolation,
    psycopg.errors.LockNotAvailable,
    psycopg.errors.DeadlockDetected,
)


class ImportUnderWayError(errors.GeoingestError):
    """Somebody else changes the directory."""


class RefusedError(errors.GeoingestError):
    """The database has a rule that we do not know of."""


def put(
    connection: db.DirectConnection, kind: str, form: directory_reading.Form, file: IO[bytes]
) -> directory.Report | directory.Refusal:
    """Puts a file into the directory, or nothing of it; ImportUnderWayError beside another import."""
    try:
        with connection.transaction():
            if not db.one(connection.execute(db.queries()["hold_directory"]))["is_alone"]:
                raise ImportUnderWayError("another import is under way")
            reading = directory_reading.Reading(kind, form)
            _stage(connection, kind, _rows(reading, file))
            found = connection.execute(db.queries()[f"bad_{kind}"], [directory.MOST_BAD])
            refusal = directory.refusal(reading.bad, reading.bad_lines, found.fetchall())
            if refusal is not None:
                return refusal
            return _put_in_force(connection, kind, reading.lines)
    except _OVERTAKEN as exc:
        raise ImportUnderWayError("something has changed meanwhile; run it again") from exc
    except (psycopg.IntegrityError, psycopg.DataError) as exc:
        # Its text could hold a row.
        raise RefusedError(f"the database does not take it ({db.sqlstate(exc)})") from exc


def _rows(reading: directory_reading.Reading, file: IO[bytes]) -> Iterator[directory_reading.Row]:
    while piece := file.read(_PIECE_BYTES):
        yield from reading.feed(piece)
    yield from reading.end()


def _stage(
    connection: db.DirectConnection, kind: str, rows: Iterator[directory_reading.Row]
) -> None:
    connection.execute(db.queries()[f"stage_{kind}"])
    with (
        connection.cursor() as cursor,
        cursor.copy(b"COPY staged FROM STDIN (FORMAT binary)") as copy,
    ):
        copy.set_types(["int4", *directory.KINDS[kind].columns.values()])
        for row in rows:
            copy.write_row(row)
    connection.execute(db.queries()["weigh_staged"])


def _put_in_force(connection: db.DirectConnection, kind: str, lines: int) -> directory.Report:
    sums = directory.Sums(lines)
    while sums.is_unfinished:
        sums.add(db.one(connection.execute(db.queries()[f"put_{kind}"])))
    if kind in directory.PEOPLE:
        connection.execute(db.queries()["end_what_revoked_had"])
    return sums.report()
