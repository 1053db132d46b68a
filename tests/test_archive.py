"""A day of pings as a Parquet file: complete or not there, whatever happens while it is written."""

from __future__ import annotations

import datetime
import pathlib
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import duckdb
import psycopg
import pyarrow.parquet
import pytest
from typing_extensions import override

from geoingest import db, errors
from geoingest.lifecycle import archive, parquet, partitions
from tests import conftest, processes

DAY = datetime.datetime(2026, 8, 14, tzinfo=datetime.UTC)
NEXT_DAY = DAY + datetime.timedelta(days=1)
PINGS = 300
MANY_PINGS = 480_000
_PATIENCE_SECONDS = 30.0
# Writes the day into the folder and says how much memory the process has held at most.
_PROGRAM = """
import datetime, pathlib, sys
from geoingest import db
from geoingest.lifecycle import archive, parquet
url, folder, fault = sys.argv[1:]
exec(fault)
day = datetime.datetime(2026, 8, 14, tzinfo=datetime.UTC)
with db.direct(url) as connection:
    archive.write(connection, pathlib.Path(folder), day, day + datetime.timedelta(days=1))
# Not getrusage: there a new program begins with the peak of whoever started it.
(peak,) = [line for line in pathlib.Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line]
print(int(peak.split()[1]) // 1024)
"""
# So many pings, of a device of that number.
_INSERT = (
    'INSERT INTO geolocation_data (student_id, "timestamp", device_id, latitude, longitude,'
    " accuracy, battery, received_at) SELECT 1 + number % 3, $2::timestamptz + number * $3::interval,"
    " $1::integer, 52.5, 13.4, 4.5, CASE WHEN number % 2 = 0 THEN 80 END, now()"
    " FROM generate_series(0, $1::integer - 1) AS number"
)


@pytest.fixture
def connection(database: conftest.Database) -> Iterator[db.DirectConnection]:
    """A job's connection, in a time zone of its own; the day before and after have pings, too."""
    with db.direct(database.url) as one:
        # The day's month and the next, whenever the tests run.
        partitions.ensure(one, detail_days=1, now=DAY)
    first = DAY - datetime.timedelta(hours=1)
    database.query(_INSERT, PINGS, DAY, datetime.timedelta(minutes=4.8))
    database.query(_INSERT, 10, first, datetime.timedelta(minutes=5))
    database.query(_INSERT, 10, NEXT_DAY, datetime.timedelta(minutes=5))
    with db.direct(database.url) as one:
        one.execute("SET timezone = 'America/St_Johns'")
        yield one


def _write(connection: db.DirectConnection, folder: pathlib.Path) -> int:
    return archive.write(connection, folder, DAY, NEXT_DAY)


def _path(folder: pathlib.Path) -> pathlib.Path:
    return folder / "geolocation_data_y2026m08" / "2026-08-14.parquet"


def _files(folder: pathlib.Path) -> list[str]:
    return sorted(one.name for one in folder.rglob("*") if one.is_file())


def test_the_file_holds_the_day_as_the_table_does(
    database: conftest.Database, connection: db.DirectConnection, tmp_path: pathlib.Path
) -> None:
    """All rows and columns of the UTC day and no others, as DuckDB and as pyarrow read them."""
    rows = _write(connection, tmp_path)

    read = pyarrow.parquet.read_table(_path(tmp_path))
    stored = database.query(
        'SELECT * FROM geolocation_data WHERE "timestamp" >= $1 AND "timestamp" < $2'
        ' ORDER BY student_id, "timestamp", device_id',
        DAY,
        NEXT_DAY,
    )
    assert rows == len(stored) == PINGS
    assert [tuple(row.values()) for row in read.to_pylist()] == stored
    assert read.column_names == [
        *("student_id", "timestamp", "device_id", "latitude", "longitude", "accuracy"),
        *("altitude", "speed", "course", "battery", "received_at", "flags"),
    ]
    with duckdb.connect() as duck:
        duck.execute("SET timezone = 'UTC'")
        found = duck.execute(
            "SELECT count(*), count(battery), max(epoch_us(timestamp)) FROM read_parquet(?)",
            [str(tmp_path / "*" / "*.parquet")],
        ).fetchall()
    newest = DAY + (PINGS - 1) * datetime.timedelta(minutes=4.8)
    assert found == [(PINGS, PINGS // 2, int(newest.timestamp()) * 1_000_000)]


def test_nobody_else_may_read_it(connection: db.DirectConnection, tmp_path: pathlib.Path) -> None:
    """Positions of children: file and folder are their owner's alone, and nothing lies beside."""
    _write(connection, tmp_path)

    path = _path(tmp_path)
    assert [one.stat().st_mode & 0o777 for one in (path, path.parent)] == [0o600, 0o700]
    assert _files(tmp_path) == ["2026-08-14.parquet"]


def test_a_second_run_replaces_the_first(
    database: conftest.Database, connection: db.DirectConnection, tmp_path: pathlib.Path
) -> None:
    """What has come since is in it."""
    _write(connection, tmp_path)
    database.query(_INSERT, 5, DAY + datetime.timedelta(seconds=1), datetime.timedelta(seconds=2))

    assert _write(connection, tmp_path) == PINGS + 5
    assert pyarrow.parquet.read_metadata(_path(tmp_path)).num_rows == PINGS + 5


def test_a_file_with_more_than_the_table_stays(
    database: conftest.Database, connection: db.DirectConnection, tmp_path: pathlib.Path
) -> None:
    """A run killed between two pieces of a delete comes again: what is gone is still in the file."""
    _write(connection, tmp_path)
    database.query("DELETE FROM geolocation_data WHERE student_id = 1")

    assert _write(connection, tmp_path) == PINGS
    assert pyarrow.parquet.read_metadata(_path(tmp_path)).num_rows == PINGS
    assert _files(tmp_path) == ["2026-08-14.parquet"]


def test_a_file_that_is_broken_is_replaced(
    connection: db.DirectConnection, tmp_path: pathlib.Path
) -> None:
    """Cut short, it is no archive, however much it once held."""
    _write(connection, tmp_path)
    path = _path(tmp_path)
    path.write_bytes(path.read_bytes()[:-100])

    assert _write(connection, tmp_path) == PINGS
    assert pyarrow.parquet.read_table(path).num_rows == PINGS


def test_what_is_incomplete_replaces_nothing(
    database: conftest.Database, connection: db.DirectConnection, tmp_path: pathlib.Path
) -> None:
    """A ping that comes after the rows were read and before they are counted is not lost: it says so."""
    _write(connection, tmp_path)
    before = _path(tmp_path).read_bytes()

    class Late(psycopg.RawCursor[Any]):
        @override
        def execute(self, query: Any, *arguments: Any, **options: Any) -> Any:  # the driver's own
            if query == db.queries()["count_pings"]:
                late = DAY + datetime.timedelta(seconds=1)
                database.query(_INSERT, 1, late, datetime.timedelta())
            return super().execute(query, *arguments, **options)

    connection.cursor_factory = Late
    with pytest.raises(parquet.IncompleteError, match="300 of 301"):
        _write(connection, tmp_path)

    assert _path(tmp_path).read_bytes() == before


def test_a_folder_that_takes_no_file_is_an_error_of_this_machine(
    connection: db.DirectConnection, tmp_path: pathlib.Path
) -> None:
    """It names the file; the job fails, and the process of the jobs goes on."""
    folder = tmp_path / "file"
    folder.touch()

    with pytest.raises(errors.LocalError, match=r"2026-08-14\.parquet"):
        _write(connection, folder)


def _program(
    database: conftest.Database, folder: pathlib.Path, fault: str
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, database.url, str(folder), fault],
        cwd=processes.ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


def _peak_mib(database: conftest.Database, folder: pathlib.Path, fault: str = "") -> int:
    with _program(database, folder, fault) as process:
        said, _ = process.communicate(timeout=120)
    return int(said)


def test_memory_does_not_grow_with_the_day(
    database: conftest.Database, connection: db.DirectConnection, tmp_path: pathlib.Path
) -> None:
    """A thousand times the pings, hardly more memory; a program that takes all at once is found out."""
    few = _peak_mib(database, tmp_path)
    database.query(_INSERT, MANY_PINGS, DAY, datetime.timedelta(milliseconds=179))

    many = _peak_mib(database, tmp_path)
    at_once = _peak_mib(database, tmp_path, "parquet.BATCH_ROWS = 10_000_000")

    assert many - few < 60
    assert at_once - few > 100


def _left_by_a_killed(
    database: conftest.Database, folder: pathlib.Path, written: pathlib.Path, fault: str = ""
) -> list[str]:
    """The files that are there after kill -9 in the middle."""
    with _program(database, folder, fault) as process:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not (written.exists() and written.stat().st_size > 1_000):
            assert time.monotonic() < deadline
            assert process.poll() is None
        process.kill()
    return _files(folder)


def test_killed_while_it_writes_there_is_no_file(
    database: conftest.Database, connection: db.DirectConnection, tmp_path: pathlib.Path
) -> None:
    """kill -9 leaves nothing under the day's name, and the next run is not disturbed by the rest."""
    database.query(_INSERT, MANY_PINGS, DAY, datetime.timedelta(milliseconds=179))
    beside = _path(tmp_path).with_suffix(".unfinished")

    left = _left_by_a_killed(database, tmp_path, beside)

    assert left == [beside.name]
    assert _write(connection, tmp_path) == PINGS + MANY_PINGS
    assert _files(tmp_path) == ["2026-08-14.parquet"]


def test_the_check_finds_a_program_that_writes_in_place(
    database: conftest.Database, connection: db.DirectConnection, tmp_path: pathlib.Path
) -> None:
    """Half a day would pass for a day."""
    database.query(_INSERT, MANY_PINGS, DAY, datetime.timedelta(milliseconds=179))
    path = _path(tmp_path)

    left = _left_by_a_killed(database, tmp_path, path, "parquet.beside = lambda path: path")

    assert left == [path.name]


def _once_without_pyarrow(
    database: conftest.Database, folder: str
) -> subprocess.CompletedProcess[str]:
    program = "import sys; sys.modules['pyarrow'] = None; from geoingest import cli; cli.main()"
    return subprocess.run(
        [sys.executable, "-c", program, "jobs", "--once"],
        env={
            **processes.plain_environment(),
            **processes.urls(database),
            "GEOINGEST_ARCHIVE_DIR": folder,
        },
        cwd=processes.ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_without_pyarrow_the_extra_is_named(
    database: conftest.Database, tmp_path: pathlib.Path
) -> None:
    """The jobs do not start, and say what to install; without an archive nobody misses it."""
    without = _once_without_pyarrow(database, "")
    wanted = _once_without_pyarrow(database, str(tmp_path))

    assert (without.returncode, wanted.returncode) == (0, 78)
    assert "pip install 'geoingest[archive]'" in wanted.stderr
