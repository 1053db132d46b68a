"""A day of pings becomes a Parquet file: geolocation_data_y2026m08/2026-08-14.parquet, for years and for other tools.

The file has its name only when it is complete: it is written beside it, flushed to the disk, read back
page by page, and its rows are counted against the table's; then it is renamed.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import psycopg
import psycopg.rows

from geoingest import config, db, errors
from geoingest.lifecycle import partitions

# In memory at once, some ten megabytes.
_BATCH_ROWS = 20_000
_WORDS = "GEOINGEST_ARCHIVE_DIR needs pyarrow: pip install 'geoingest[archive]'"


class IncompleteError(errors.GeoingestError):
    """What was written is not what the table holds; the table must keep it."""


def check(settings: config.Config) -> None:
    """SettingsError when there is to be an archive and nothing to write it with."""
    if settings.archive_dir:
        _pyarrow()


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
    _make(path.parent)
    beside = _beside(path)
    with connection.transaction():
        streamed = _stream(connection, beside, day_start, day_end)
        count = connection.execute(db.queries()["count_pings"], [day_start, day_end])
        expected = db.one(count)["pings"]
    written = _count(beside)
    if not written == streamed == expected:
        raise IncompleteError(
            f"{path.name}: {written} of {expected} pings written, {streamed} read"
        )
    with contextlib.suppress(IncompleteError):
        if (kept := _count(path)) > written:
            beside.unlink()
            return kept
    beside.replace(path)
    _sync(path.parent)
    return written


def _stream(
    connection: db.DirectConnection,
    path: pathlib.Path,
    day_start: datetime.datetime,
    day_end: datetime.datetime,
) -> int:
    pyarrow, parquet = _pyarrow()
    schema = _schema(pyarrow)
    streamed = 0
    with (
        _create(path) as file,
        parquet.ParquetWriter(file, schema, compression="zstd", write_page_checksum=True) as writer,
        psycopg.RawServerCursor[tuple[Any, ...]](
            connection, "archive", row_factory=psycopg.rows.tuple_row
        ) as cursor,
    ):
        cursor.execute(db.queries()["pings_of_day"], [day_start, day_end], binary=True)
        while rows := cursor.fetchmany(_BATCH_ROWS):
            columns = [
                pyarrow.array(column, field.type)
                for column, field in zip(zip(*rows, strict=True), schema, strict=True)
            ]
            writer.write_batch(pyarrow.record_batch(columns, schema=schema))
            streamed += len(rows)
    return streamed


def _count(path: pathlib.Path) -> int:
    """Reads every page: what does not come back whole raises."""
    pyarrow, parquet = _pyarrow()
    try:
        with parquet.ParquetFile(path, page_checksum_verification=True) as file:
            return sum(batch.num_rows for batch in file.iter_batches(_BATCH_ROWS))
    except (OSError, pyarrow.ArrowException) as exc:
        raise IncompleteError(f"{path.name} cannot be read back") from exc


def _pyarrow() -> Sequence[Any]:
    """An extra of some hundred megabytes: imported when there is something to write."""
    try:
        import pyarrow  # noqa: PLC0415
        import pyarrow.parquet  # noqa: PLC0415
    except ImportError as exc:
        raise errors.SettingsError(_WORDS) from exc
    return pyarrow, pyarrow.parquet


def _schema(pyarrow: Any) -> Any:
    instant = pyarrow.timestamp("us", tz="UTC")
    required = [
        ("student_id", pyarrow.int64()),
        ("timestamp", instant),
        ("device_id", pyarrow.int32()),
        ("latitude", pyarrow.float64()),
        ("longitude", pyarrow.float64()),
    ]
    optional = [
        *((name, pyarrow.float32()) for name in ("accuracy", "altitude", "speed", "course")),
        ("battery", pyarrow.int16()),
    ]
    return pyarrow.schema(
        [
            *(pyarrow.field(name, kind, nullable=False) for name, kind in required),
            *(pyarrow.field(name, kind) for name, kind in optional),
            pyarrow.field("received_at", instant, nullable=False),
            pyarrow.field("flags", pyarrow.int16()),
        ]
    )


def _beside(path: pathlib.Path) -> pathlib.Path:
    """The same name each time: what a killed run has left is written over."""
    return path.with_suffix(".unfinished")


@contextlib.contextmanager
def _create(path: pathlib.Path) -> Iterator[Any]:
    """A file that only we can read, on the disk when the block ends."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def _make(folder: pathlib.Path) -> None:
    if not folder.is_dir():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _sync(folder.parent)


def _sync(folder: pathlib.Path) -> None:
    """Names are on the disk, too."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
