"""A day of pings becomes a Parquet file: geolocation_data_y2026m08/2026-08-14.parquet, for years and for other tools.

The file has its name only when it is complete: it is written beside it, flushed to the disk, read back
page by page, and its rows are counted against the table's; then it is renamed.
"""

from __future__ import annotations

import contextlib
import datetime
import pathlib
from typing import Any

import psycopg
import psycopg.rows

from geoingest import config, db, errors
from geoingest.lifecycle import parquet, partitions


def check(settings: config.Config) -> None:
    """SettingsError when there is to be an archive and nothing to write it with."""
    if settings.archive_dir:
        parquet.pyarrow()


def write(
    connection: db.DirectConnection,
    folder: pathlib.Path,
    day_start: datetime.datetime,
    day_end: datetime.datetime,
) -> int:
    """Writes the pings of a day, in constant memory; how many the file holds.

    An older file stays when it holds more: pings leave the table after they were written, never before.
    """
    path = _path(folder, day_start)
    try:
        return _write(connection, path, day_start, day_end)
    except OSError as exc:
        raise errors.LocalError(f"cannot write {path}: {exc.strerror}") from exc


def has(folder: pathlib.Path, day_start: datetime.datetime) -> bool:
    """True once the day is written, whole as everything that bears its name."""
    return _path(folder, day_start).exists()


def _path(folder: pathlib.Path, day_start: datetime.datetime) -> pathlib.Path:
    day = day_start.astimezone(datetime.UTC).date()
    return folder / partitions.name(day) / f"{day}.parquet"


def _write(
    connection: db.DirectConnection,
    path: pathlib.Path,
    day_start: datetime.datetime,
    day_end: datetime.datetime,
) -> int:
    parquet.make(path.parent)
    beside = parquet.beside(path)
    with connection.transaction():
        streamed = _stream(connection, beside, day_start, day_end)
        count = connection.execute(db.queries()["count_pings"], [day_start, day_end])
        expected = db.one(count)["pings"]
    written = parquet.count(beside)
    if not written == streamed == expected:
        raise parquet.IncompleteError(
            f"{path.name}: {written} of {expected} pings written, {streamed} read"
        )
    with contextlib.suppress(parquet.IncompleteError):
        if (kept := parquet.count(path)) > written:
            beside.unlink()
            return kept
    beside.replace(path)
    parquet.sync(path.parent)
    return written


def _stream(
    connection: db.DirectConnection,
    path: pathlib.Path,
    day_start: datetime.datetime,
    day_end: datetime.datetime,
) -> int:
    pyarrow, _ = parquet.pyarrow()
    schema = parquet.schema()
    streamed = 0
    with (
        parquet.writer(path, schema) as writer,
        psycopg.RawServerCursor[tuple[Any, ...]](
            connection, "archive", row_factory=psycopg.rows.tuple_row
        ) as cursor,
    ):
        cursor.execute(db.queries()["pings_of_day"], [day_start, day_end], binary=True)
        while rows := cursor.fetchmany(parquet.BATCH_ROWS):
            columns = [
                pyarrow.array(column, field.type)
                for column, field in zip(zip(*rows, strict=True), schema, strict=True)
            ]
            writer.write_batch(pyarrow.record_batch(columns, schema=schema))
            streamed += len(rows)
    return streamed
