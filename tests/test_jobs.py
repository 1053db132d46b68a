"""The periodic jobs: each when it is due, one process at a time, and none harmed by another."""

from __future__ import annotations

import concurrent.futures
import contextlib
import datetime
import threading
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from geoingest import config, db, errors
from geoingest.lifecycle import jobs, locks, quarantine
from tests import commands, conftest

NOW = datetime.datetime.now(datetime.UTC)
_SOON = 10.0


class _Fake:
    """A job that does as it is told, and says when it has."""

    def __init__(self, *problems: Exception) -> None:
        self._problems = list(problems)
        self.runs = 0
        self.has_succeeded = threading.Semaphore(0)

    def run_once(
        self, connection: db.DirectConnection, settings: config.Config, now: datetime.datetime
    ) -> str:
        self.runs += 1
        if self._problems:
            raise self._problems.pop(0)
        self.has_succeeded.release()
        return f"run {self.runs}"


@contextlib.contextmanager
def _looping(database: conftest.Database, registry: dict[str, jobs.Job]) -> Iterator[None]:
    """The jobs' loop for as long as the block lasts."""
    stop = threading.Event()
    with concurrent.futures.ThreadPoolExecutor(1) as threads:
        loop = threads.submit(jobs.run, database.settings(), stop, registry, retry_seconds=0.05)
        try:
            yield
        finally:
            stop.set()
            loop.result(timeout=_SOON)


def _noted(database: conftest.Database) -> dict[object, object]:
    found = database.query("SELECT job, outcome, result FROM job_runs")
    return {name: row for name, *row in found}


def _succeeded(database: conftest.Database) -> dict[object, Any]:
    return dict(database.query("SELECT job, succeeded_at FROM job_runs"))  # type: ignore[arg-type]  # two columns


def _round(database: conftest.Database) -> dict[str, jobs.Outcome]:
    with jobs.pool(database.settings()) as connections:
        return jobs.run_once(connections, database.settings(), now=NOW)


def test_each_job_runs_when_it_is_due(database: conftest.Database) -> None:
    """One of every 50 ms comes again and again, one of every hour once, and both are noted."""
    often, seldom = _Fake(), _Fake()
    registry = {
        "partitions": jobs.Job(seldom.run_once, 3600),
        "quarantine": jobs.Job(often.run_once, 0.05),
    }

    with _looping(database, registry):
        came = [often.has_succeeded.acquire(timeout=_SOON) for _ in range(4)]

    assert came == [True] * 4
    assert seldom.runs == 1
    assert _noted(database)["partitions"] == ["ok", "run 1"]


def test_what_failed_comes_again_soon(database: conftest.Database) -> None:
    """After a failure an hourly job does not wait for the hour; after its success it does."""
    job = _Fake(errors.LocalError("not yet"), psycopg.errors.QueryCanceled("secret"))

    with _looping(database, {"partitions": jobs.Job(job.run_once, 3600)}):
        came = job.has_succeeded.acquire(timeout=_SOON)

    assert came
    assert job.runs == 3


def test_a_job_that_fails_keeps_no_other_from_its_work(database: conftest.Database) -> None:
    """The reason is noted without a word of a row; when it last succeeded stays known."""
    first = _round(database)
    before = _succeeded(database)
    database.query("ALTER TABLE rejected_pings RENAME TO away")

    second = _round(database)

    assert set(first.values()) == {"ok"}
    assert second == {**first, "quarantine": "failed"}
    assert _noted(database)["quarantine"] == ["failed", "42P01"]
    assert _noted(database)["partitions"] == ["ok", "0 made, 0 dropped, 3 ahead"]
    after = _succeeded(database)
    assert after["quarantine"] == before["quarantine"]
    assert after["partitions"] > before["partitions"]


def test_a_schema_lock_that_is_held_fails_one_job_only(database: conftest.Database) -> None:
    """It is another lock than that of the round: what needs it fails, and nothing is skipped."""
    registry = {
        "partitions": jobs.Job(_needs_the_schema, 3600),
        "quarantine": jobs.Job(quarantine.run_once, 3600),
    }

    with (
        db.direct(database.url) as migration,
        locks.hold(migration, locks.SCHEMA, patience_seconds=0),
        jobs.pool(database.settings()) as connections,
    ):
        outcomes = jobs.run_once(connections, database.settings(), registry, now=NOW)

    assert outcomes == {"partitions": "failed", "quarantine": "ok"}


def _needs_the_schema(
    connection: db.DirectConnection, settings: config.Config, now: datetime.datetime
) -> None:
    with locks.hold(connection, locks.SCHEMA, patience_seconds=0):
        pass


def test_one_process_at_a_time(database: conftest.Database) -> None:
    """While another is at it all are skipped, nothing is noted, and the command still exits 0."""
    with (
        db.direct(database.url) as other,
        locks.hold(other, locks.JOBS, patience_seconds=0),
    ):
        outcomes = _round(database)
        result = commands.run("jobs", "--once", database=database)

    assert set(outcomes.values()) == {"skipped"}
    assert result.exit_code == 0
    assert _noted(database) == {}


def test_a_job_is_run_by_hand(database: conftest.Database) -> None:
    """Its result stands on stdout and in job_runs."""
    result = commands.run("jobs", "run", "partitions", database=database)

    assert (result.exit_code, result.stdout) == (0, "0 made, 0 dropped, 3 ahead\n")
    assert _noted(database) == {"partitions": ["ok", "0 made, 0 dropped, 3 ahead"]}


def test_a_job_run_by_hand_waits_for_the_others(database: conftest.Database) -> None:
    """A round of another process ends first; then it is done."""
    with (
        concurrent.futures.ThreadPoolExecutor(1) as threads,
        db.direct(database.url) as other,
        jobs.pool(database.settings()) as connections,
    ):
        with locks.hold(other, locks.JOBS, patience_seconds=0):
            waiting = threads.submit(
                jobs.run_now, connections, database.settings(), "quarantine", now=NOW
            )
            with pytest.raises(TimeoutError):
                waiting.result(timeout=0.5)
        words = waiting.result(timeout=_SOON)

    assert words == "0 rejected pings gone"


def test_a_job_run_by_hand_that_fails_exits_1(database: conftest.Database) -> None:
    """The reason stands on stderr, and stdout stays empty."""
    database.query("ALTER TABLE rejected_pings RENAME TO away")

    result = commands.run("jobs", "run", "quarantine", database=database)

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines()[-1] == "geoingest: quarantine failed: 42P01"


def test_a_window_goes_to_the_job_that_can_go_back(database: conftest.Database) -> None:
    """`--from` and `--to` arrive as its start and end, in place of the ordinary run."""
    seen: list[tuple[datetime.datetime, datetime.datetime]] = []

    def go_back(
        connection: db.DirectConnection,
        settings: config.Config,
        /,
        *,
        start: datetime.datetime,
        end: datetime.datetime,
    ) -> str:
        seen.append((start, end))
        return "gone back"

    window = jobs.Window(NOW - datetime.timedelta(days=2), NOW)
    job = jobs.Job(_Fake(errors.LocalError("not this one")).run_once, 3600, go_back)
    with jobs.pool(database.settings()) as connections:
        words = jobs.run_now(
            connections,
            database.settings(),
            "partitions",
            now=NOW,
            window=window,
            registry={"partitions": job},
        )

    assert words == "gone back"
    assert seen == [window]
