"""An erasure, killed before any of its statements: the next run leaves what an undisturbed one does."""

from __future__ import annotations

import pathlib
import shutil
import subprocess
import sys
from collections.abc import Callable

import psycopg
import pytest

from geoingest import db
from geoingest.lifecycle import erasure, traces
from geoingest.local import cluster
from tests import cohorts, conftest, killed, processes

_MOST_STATEMENTS = 200
# Ends as kill -9 does where a file of the archive would get its new content.
_PROGRAM = """
import os, pathlib, sys
from geoingest import config, db
from geoingest.lifecycle import erasure
url, archive, ledger, student, fault = sys.argv[1:]
exec(fault)
settings = config.Config(archive_dir=archive, erasure_ledger=ledger)
with db.direct(url) as connection:
    erasure.erase(connection, settings, int(student), tell=lambda words: None)
"""

Erase = Callable[[db.DirectConnection, cohorts.Cohort, int], object]


def _careful(connection: db.DirectConnection, cohort: cohorts.Cohort, student_id: int) -> None:
    erasure.erase(connection, cohort.settings, student_id, tell=lambda words: None)


def _hasty(connection: db.DirectConnection, cohort: cohorts.Cohort, student_id: int) -> None:
    """Devices and student first, before it is written down anywhere whose rejects there were."""
    traces.remove_identity(connection, student_id)
    _careful(connection, cohort, student_id)


def _harmful(
    database: conftest.Database, servers: cluster.Cluster, folder: pathlib.Path, erase: Erase
) -> int | None:
    """Before which statement a kill does harm that the next run does not mend."""
    for number in range(_MOST_STATEMENTS):
        cohort = _anew(database, folder / str(number))
        victim = cohort.students[0]
        before = cohorts.others(cohort, victim)
        try:
            with db.direct(database.url) as dying:
                dying.cursor_factory = killed.dies_at(number, database)
                erase(dying, cohort, victim.student_id)
        except psycopg.OperationalError:
            with db.direct(database.url) as connection:
                erase(connection, cohort, victim.student_id)
        else:
            # It came to its end before.
            assert number > 20
            return None
        if cohorts.held(cohort, victim) or cohorts.others(cohort, victim) != before:
            return number
        # One erasure, however often it was begun.
        lines = pathlib.Path(cohort.settings.erasure_ledger).read_text().splitlines()
        if len(lines) != 1 or database.query("SELECT finished_at IS NULL FROM erasures") != [
            (False,)
        ]:
            return number
    raise AssertionError("it never comes to its end")


def _anew(database: conftest.Database, folder: pathlib.Path) -> cohorts.Cohort:
    """Nothing but two students, the first of whom was marked a while ago."""
    database.query(
        "TRUNCATE geolocation_data, geolocation_hourly, geolocation_daily, rollup_dirty,"
        " rejected_pings, guardianships, staff_scopes, sessions, shares, devices, viewers, students,"
        " erasures"
    )
    database.query(
        "UPDATE rollup_state SET sealed_to = 'epoch', closed_to = 'epoch', rolled_to = $1,"
        " watermark = $1",
        cohorts.NOW - 50 * cohorts.DAY,
    )
    cohort = cohorts.make(database, folder, count=2)
    cohorts.mark(database, cohort.students[0].student_id)
    return cohort


@pytest.mark.parametrize(("erase", "is_harmful"), [(_careful, False), (_hasty, True)])
def test_killed_before_any_statement_the_next_run_completes(
    database: conftest.Database,
    servers: cluster.Cluster,
    tmp_path: pathlib.Path,
    erase: Erase,
    is_harmful: bool,
) -> None:
    """And one that removes before it has written down whom is found out."""
    assert (_harmful(database, servers, tmp_path, erase) is not None) == is_harmful


def _run(cohort: cohorts.Cohort, student_id: int, fault: str) -> int:
    settings = cohort.settings
    arguments = [settings.archive_dir, settings.erasure_ledger, str(student_id), fault]
    return subprocess.run(
        [sys.executable, "-c", _PROGRAM, cohort.database.url, *arguments],
        cwd=processes.ROOT,
        check=False,
        timeout=60,
    ).returncode


def test_killed_in_the_archive_each_file_is_as_it_was_or_done(
    database: conftest.Database, tmp_path: pathlib.Path
) -> None:
    """No file is ever half; what a killed run leaves beside one, the jobs' too, is removed by the next."""
    cohort = cohorts.make(database, tmp_path, count=2)
    victim = cohort.students[0]
    before = cohorts.others(cohort, victim)
    cohorts.mark(database, victim.student_id)
    archive = pathlib.Path(cohort.settings.archive_dir)
    first = min(archive.glob("*/*.parquet"))
    shutil.copy(first, first.with_suffix(".unfinished"))

    code = _run(cohort, victim.student_id, "pathlib.Path.replace = lambda *_: os._exit(9)")
    half = cohorts.held(cohort, victim)["archive"], cohorts.others(cohort, victim)["archive"]
    again = _run(cohort, victim.student_id, "")

    assert (code, again) == (9, 0)
    assert half[0] > 0
    assert half[1] == before["archive"]
    assert cohorts.held(cohort, victim) == {}
    assert cohorts.others(cohort, victim) == before
    assert list(archive.glob("*/*.unfinished")) == []
