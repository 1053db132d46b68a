"""Parquet files of pings: their columns, how one is made whole or not at all, and read back page by page."""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

from geoingest import errors

# In memory at once, some ten megabytes.
BATCH_ROWS = 20_000
_WORDS = "GEOINGEST_ARCHIVE_DIR needs pyarrow: pip install 'geoingest[archive]'"


class IncompleteError(errors.GeoingestError):
    """What was written is not what it was to hold; what was there before must stay."""


def pyarrow() -> Sequence[Any]:
    """An extra of some hundred megabytes: imported when there is something to write."""
    try:
        import pyarrow  # noqa: PLC0415
        import pyarrow.compute  # noqa: PLC0415
        import pyarrow.parquet  # noqa: PLC0415
    except ImportError as exc:
        raise errors.SettingsError(_WORDS) from exc
    return pyarrow, pyarrow.parquet


def schema() -> Any:
    """The columns of a ping."""
    arrow, _ = pyarrow()
    instant = arrow.timestamp("us", tz="UTC")
    required = [
        ("student_id", arrow.int64()),
        ("timestamp", instant),
        ("device_id", arrow.int32()),
        ("latitude", arrow.float64()),
        ("longitude", arrow.float64()),
    ]
    optional = [
        *((name, arrow.float32()) for name in ("accuracy", "altitude", "speed", "course")),
        ("battery", arrow.int16()),
    ]
    return arrow.schema(
        [
            *(arrow.field(name, kind, nullable=False) for name, kind in required),
            *(arrow.field(name, kind) for name, kind in optional),
            arrow.field("received_at", instant, nullable=False),
            arrow.field("flags", arrow.int16()),
        ]
    )


def beside(path: pathlib.Path) -> pathlib.Path:
    """Where a file is written until it is whole; the same name each time: a killed run's is written over."""
    return path.with_suffix(".unfinished")


@contextlib.contextmanager
def writer(path: pathlib.Path, columns: Any) -> Iterator[Any]:
    """Writes a file that only we can read; it is on the disk when the block ends."""
    _, parquet = pyarrow()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        with parquet.ParquetWriter(
            file, columns, compression="zstd", write_page_checksum=True
        ) as writing:
            yield writing
        file.flush()
        os.fsync(file.fileno())


@contextlib.contextmanager
def reader(path: pathlib.Path) -> Iterator[Any]:
    """Reads a file, its checksums looked at; what does not come back whole raises IncompleteError."""
    arrow, parquet = pyarrow()
    try:
        with parquet.ParquetFile(path, page_checksum_verification=True) as file:
            yield file
    except (OSError, arrow.ArrowException) as exc:
        raise IncompleteError(f"{path.name} cannot be read back") from exc


def count(path: pathlib.Path) -> int:
    """Reads every page; how many pings."""
    with reader(path) as file:
        return sum(batch.num_rows for batch in file.iter_batches(BATCH_ROWS))


def make(folder: pathlib.Path) -> None:
    """A folder that only we can read."""
    if not folder.is_dir():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        sync(folder.parent)


def sync(folder: pathlib.Path) -> None:
    """Names are on the disk, too."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
