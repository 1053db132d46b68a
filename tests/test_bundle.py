"""A guardian's ZIP holds everything that is held of the student, and nothing of anybody else."""

from __future__ import annotations

import datetime
import json
import pathlib
import shutil
import stat
import subprocess
import sys
import zipfile
from typing import Any

import gpxpy
import pytest

from geoingest import db
from geoingest.lifecycle import archive
from tests import cohorts, commands, conftest, processes

# Which columns each file leaves out: whose it is is known, and no secret is told.
_TABLES = {
    "hours.json": ("geolocation_hourly", {"student_id"}),
    "days.json": ("geolocation_daily", {"student_id"}),
    "shares.json": ("shares", {"student_id", "token_digest"}),
    "guardianships.json": ("guardianships", {"student_id"}),
    "student.json": ("students", {"changed_in", "erased_at"}),
    "devices.json": (
        "devices",
        {
            *("student_id", "token_digest", "changed_in"),
            *("previous_digest", "previous_until", "owntracks_key"),
        },
    ),
}

_NAMES = {"school", "class"}


@pytest.fixture
def cohort(database: conftest.Database, tmp_path: pathlib.Path) -> cohorts.Cohort:
    """Three students."""
    return cohorts.make(database, tmp_path, count=3)


def _export(cohort: cohorts.Cohort, path: pathlib.Path, student_id: int) -> Any:
    arguments = ("export", "--student", str(student_id), "--output", str(path))
    return commands.run(*arguments, database=cohort.database, environment=cohort.environment)


def _read(path: pathlib.Path) -> dict[str, Any]:
    """Every file of the ZIP, JSON as what it says."""
    with zipfile.ZipFile(path) as read:
        assert read.testzip() is None
        texts = {name: read.read(name).decode() for name in read.namelist()}
    return {
        name: json.loads(text) if name.endswith(".json") else text for name, text in texts.items()
    }


def _table(cohort: cohorts.Cohort, table: str, student_id: int) -> list[dict[str, Any]]:
    """The student's rows as PostgreSQL's own JSON has them."""
    found = cohort.database.query(
        f"SELECT to_jsonb(one)::text FROM {table} AS one WHERE student_id = $1",  # noqa: S608  # our own words
        student_id,
    )
    return [json.loads(str(text)) for (text,) in found]


def _comparable(rows: list[dict[str, Any]], *, without: set[str] = frozenset()) -> list[str]:  # type: ignore[assignment]
    """Instants however they are written."""
    return sorted(
        json.dumps(
            {name: _plain(value) for name, value in row.items() if name not in without},
            sort_keys=True,
        )
        for row in rows
    )


def _plain(value: Any) -> Any:
    if isinstance(value, str) and value.endswith("infinity"):
        return None
    if isinstance(value, int | float):
        return float(value)
    if isinstance(value, str) and "T" in value:
        return datetime.datetime.fromisoformat(value).timestamp()
    return value


def test_it_holds_what_the_tables_and_the_archive_hold(
    cohort: cohorts.Cohort, tmp_path: pathlib.Path
) -> None:
    """Each row and column, but for tokens and keys; every ping once, in JSON and in GPX."""
    student = cohort.students[1]
    _enrich(cohort, student.student_id)
    path = tmp_path / "2.zip"

    result = _export(cohort, path, student.student_id)

    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == f"{path} written\n"
    held = _read(path)
    assert held.keys() == {
        *_TABLES,
        *("README.txt", "pings.json", "pings.gpx", "rejects.json", "lookups.json"),
    }
    for name, (table, left_out) in _TABLES.items():
        wanted = _table(cohort, table, student.student_id)
        assert wanted
        # And what the platform calls them, in student.json.
        assert _comparable(held[name], without=_NAMES) == _comparable(wanted, without=left_out)
    pings = _table(cohort, "geolocation_data", student.student_id)
    archived = [
        {
            **row,
            "timestamp": row["timestamp"].isoformat(),
            "received_at": row["received_at"].isoformat(),
        }
        for row in cohorts.archived_rows(cohort)
        if row["student_id"] == student.student_id
    ]
    assert pings
    assert archived
    every = _comparable([*pings, *archived], without={"student_id"})
    assert _comparable(held["pings.json"]) == every
    instants = [one["timestamp"] for one in held["pings.json"]]
    assert instants == sorted(instants)
    points = [
        point.time
        for track in gpxpy.parse(held["pings.gpx"]).tracks
        for segment in track.segments
        for point in segment.points
    ]
    assert points == [datetime.datetime.fromisoformat(one) for one in instants]
    assert [(one["device_id"], one["raw"]) for one in held["rejects.json"]] == [
        (student.device_id, '{"latitude":91}'),
        (cohort.gateway_id, f'{{"student_id": {student.student_id},"lat'),
    ]
    assert all(name in held["README.txt"] for name in held if name != "README.txt")


def _enrich(cohort: cohorts.Cohort, student_id: int) -> None:
    """A school, a class, and terms of its guardians."""
    cohort.database.query(
        "WITH school AS (INSERT INTO schools (external_id) VALUES ('north') RETURNING school_id),"
        " class AS (INSERT INTO classes (external_id, school_id) SELECT '1a', school_id FROM school"
        " RETURNING class_id, school_id)"
        " UPDATE students SET external_id = 'ann', school_id = class.school_id,"
        " class_id = class.class_id FROM class WHERE student_id = $1",
        student_id,
    )
    cohort.database.query(
        "UPDATE guardianships SET valid_from = now(), consent_until = now() + interval '1 year',"
        " school_hours_only = TRUE WHERE ctid = (SELECT min(ctid) FROM guardianships"
        " WHERE student_id = $1)",
        student_id,
    )


def test_it_says_who_may_look_and_on_which_terms(
    cohort: cohorts.Cohort, tmp_path: pathlib.Path
) -> None:
    """School and class as the platform calls them; terms, without end as null; links without their tokens."""
    student = cohort.students[1]
    _enrich(cohort, student.student_id)

    _export(cohort, tmp_path / "2.zip", student.student_id)

    held = _read(tmp_path / "2.zip")
    (row,) = held["student.json"]
    assert (row["external_id"], row["school"], row["class"]) == ("ann", "north", "1a")
    limited, free = sorted(held["guardianships.json"], key=lambda one: one["valid_from"] is None)
    assert (limited["school_hours_only"], limited["consent_until"] is None) == (True, False)
    assert (free["valid_until"], free["consent_until"]) == (None, None)
    digests = cohort.database.query("SELECT encode(token_digest, 'hex') FROM shares")
    assert len(held["shares.json"]) == 2
    assert not [digest for (digest,) in digests if str(digest) in json.dumps(held)]


def test_a_day_that_is_archived_and_still_there_is_written_once(
    cohort: cohorts.Cohort, tmp_path: pathlib.Path
) -> None:
    """Between the two steps of retention."""
    student = cohort.students[0]
    folder = pathlib.Path(cohort.settings.archive_dir)
    day = (cohorts.NOW - 20 * cohorts.DAY).replace(hour=0, minute=0, second=0, microsecond=0)
    path = tmp_path / "1.zip"
    _export(cohort, path, student.student_id)
    before = _read(path)["pings.json"]
    with db.direct(cohort.database.url) as connection:
        archive.write(connection, folder, day, day + cohorts.DAY)
    later = tmp_path / "later.zip"

    _export(cohort, later, student.student_id)

    assert _read(later)["pings.json"] == before


@pytest.mark.parametrize("raw", [b"\xff\x00", b"{}"])
def test_rejects_are_told_also_where_they_are_no_text(
    cohort: cohorts.Cohort, tmp_path: pathlib.Path, raw: bytes
) -> None:
    """As text or in base64."""
    student = cohort.students[0]
    cohort.database.query("DELETE FROM rejected_pings")
    cohort.database.query(
        "INSERT INTO rejected_pings (received_at, device_id, reason, raw)"
        " VALUES (now(), $1, 'malformed', $2)",
        student.device_id,
        raw,
    )

    _export(cohort, tmp_path / "1.zip", student.student_id)

    (reject,) = _read(tmp_path / "1.zip")["rejects.json"]
    assert reject.get("raw", reject.get("raw_base64")) in {"{}", "/wA="}


def test_only_its_owner_may_read_it_and_nothing_is_overwritten(
    cohort: cohorts.Cohort, tmp_path: pathlib.Path
) -> None:
    """Mode 0600; a file that is there is kept, exit code 1; nothing lies beside."""
    path = tmp_path / "out" / "1.zip"
    path.parent.mkdir()
    first = _export(cohort, path, cohort.students[0].student_id)
    written = path.read_bytes()

    second = _export(cohort, path, cohort.students[1].student_id)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert (first.exit_code, second.exit_code, second.stdout) == (0, 1, "")
    assert "exists and is kept" in second.stderr
    assert path.read_bytes() == written
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("fault", ["unknown", "no folder", "broken archive", "no archive"])
def test_what_fails_leaves_no_file(
    cohort: cohorts.Cohort, tmp_path: pathlib.Path, fault: str
) -> None:
    """Exit code 1, in words."""
    path = tmp_path / "out" / "1.zip"
    if fault != "no folder":
        path.parent.mkdir()
    if fault == "broken archive":
        for file in pathlib.Path(cohort.settings.archive_dir).glob("*/*.parquet"):
            file.write_bytes(file.read_bytes()[:-20])
    if fault == "no archive":
        shutil.rmtree(cohort.settings.archive_dir)
    student_id = 4711 if fault == "unknown" else cohort.students[0].student_id

    result = _export(cohort, path, student_id)

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("geoingest: ")
    assert not path.parent.exists() or list(path.parent.iterdir()) == []


def test_the_record_of_lookups_is_in_it(cohort: cohorts.Cohort, tmp_path: pathlib.Path) -> None:
    """Who looked at this student, and at nobody else."""
    student, other = cohort.students[:2]
    for one in (student, other):
        cohort.database.query(
            "INSERT INTO lookups (viewer_id, student_id, kind, looked_at)"
            " VALUES (7, $1, 'export', now())",
            one.student_id,
        )

    _export(cohort, tmp_path / "1.zip", student.student_id)

    held = _read(tmp_path / "1.zip")
    assert [(one["viewer_id"], one["kind"]) for one in held["lookups.json"]] == [(7, "export")]
    assert "lookups.json" in held["README.txt"]


def test_memory_does_not_grow_with_the_pings(
    cohort: cohorts.Cohort, tmp_path: pathlib.Path
) -> None:
    """A hundred thousand pings more, hardly more memory; a program that takes all at once is found out."""
    student = cohort.students[0]
    few = _peak_mib(cohort, tmp_path / "few.zip", student.student_id)
    cohort.database.query(
        'INSERT INTO geolocation_data (student_id, "timestamp", device_id, latitude, longitude,'
        " received_at) SELECT $1::bigint, $2::timestamptz + number * interval '10 seconds', 1, 52.5,"
        " 13.4, now() FROM generate_series(1, 100000) AS number",
        student.student_id,
        cohorts.NOW - 15 * cohorts.DAY,
    )

    many = _peak_mib(cohort, tmp_path / "many.zip", student.student_id)
    at_once = _peak_mib(
        cohort, tmp_path / "at_once.zip", student.student_id, "bundle._BATCH_ROWS = 10_000_000"
    )

    assert len(_read(tmp_path / "many.zip")["pings.json"]) > 100_000
    assert many - few < 30
    assert at_once - few > 50


_PROGRAM = """
import pathlib, sys
from geoingest import db
from geoingest.commands import bundle
url, student, path, fault = sys.argv[1:]
exec(fault)
with db.direct(url) as connection:
    bundle.write(connection, int(student), pathlib.Path(path), archive_dir=None)
(line,) = (one for one in open("/proc/self/status") if one.startswith("VmHWM:"))
print(int(line.split()[1]) // 1024)
"""


def _peak_mib(cohort: cohorts.Cohort, path: pathlib.Path, student_id: int, fault: str = "") -> int:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, cohort.database.url, str(student_id), str(path), fault],
        cwd=processes.ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return int(done.stdout)
