"""A student's pings in the archive: read, or taken out of its files for good.

A file is replaced as a whole or stays as it is: it is written beside without the student's pings, read
back page by page, its rows are counted, and then it is renamed. Files without the student are not touched.
"""

from __future__ import annotations

import collections
import datetime
import pathlib
from collections.abc import Collection, Iterator
from typing import Any

from geoingest import errors
from geoingest.lifecycle import parquet


def days(folder: pathlib.Path) -> list[datetime.date]:
    """The days that are archived, the oldest first; LocalError when there is no such folder."""
    return [datetime.date.fromisoformat(path.stem) for path in _paths(folder)]


def pings(folder: pathlib.Path, day: datetime.date, student_id: int) -> Iterator[dict[str, Any]]:
    """The student's pings of a day as the file has them, a row group in memory at a time."""
    (path,) = folder.glob(f"*/{day}.parquet")
    with parquet.reader(path) as file:
        for group in _groups(file, [student_id]):
            found = _rows(file.read_row_group(group), [student_id])
            yield from found.drop_columns(["student_id"]).to_pylist()


def remove(folder: pathlib.Path, students: Collection[int]) -> dict[int, int]:
    """Takes these students' pings out of every file; how many of each. The caller holds the jobs' lock.

    LocalError when there is no such folder, IncompleteError when a file cannot be read.
    """
    gone: collections.Counter[int] = collections.Counter()
    try:
        # A killed run's, of the jobs or of ours; nobody else is writing.
        for left in folder.glob("*/*.unfinished"):
            left.unlink()
        for path in _paths(folder):
            gone += _cut(path, students)
    except OSError as exc:
        raise errors.LocalError(f"cannot write to {folder}: {exc.strerror}") from exc
    return dict(gone)


def _paths(folder: pathlib.Path) -> list[pathlib.Path]:
    if not folder.is_dir():
        raise errors.LocalError(
            f"there is no archive at {folder}: is it mounted? Make the folder if nothing was archived"
        )
    return sorted(folder.glob("*/*.parquet"), key=lambda path: path.name)


def _cut(path: pathlib.Path, students: Collection[int]) -> collections.Counter[int]:
    arrow, _ = parquet.pyarrow()
    beside = parquet.beside(path)
    with parquet.reader(path) as file:
        held: collections.Counter[int] = collections.Counter()
        for group in _groups(file, students):
            held.update(_rows(file.read_row_group(group, ["student_id"]), students)[0].to_pylist())
        if not held:
            return held
        expected = file.metadata.num_rows - held.total()
        with parquet.writer(beside, file.schema_arrow) as writer:
            for group in range(file.num_row_groups):
                table = file.read_row_group(group)
                writer.write_table(table.filter(arrow.compute.invert(_is_of(table, students))))
    written = parquet.count(beside)
    if written != expected:
        raise parquet.IncompleteError(f"{path.name}: {written} of {expected} pings written")
    beside.replace(path)
    parquet.sync(path.parent)
    return held


def _groups(file: Any, students: Collection[int]) -> Iterator[int]:
    """Row groups that may hold them, by their least and greatest student: a file is in their order."""
    for group in range(file.num_row_groups):
        found = file.metadata.row_group(group).column(0).statistics
        is_known = found is not None and found.has_min_max
        if not is_known or any(found.min <= student <= found.max for student in students):
            yield group


def _rows(table: Any, students: Collection[int]) -> Any:
    return table.filter(_is_of(table, students))


def _is_of(table: Any, students: Collection[int]) -> Any:
    arrow, _ = parquet.pyarrow()
    wanted = arrow.array(students, arrow.int64())
    return arrow.compute.is_in(table["student_id"], value_set=wanted)
