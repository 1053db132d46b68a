"""The periodic jobs: each is a line in JOBS; one process at a time does them."""

from __future__ import annotations

import datetime
import functools
import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple, Protocol, TypeAlias

import psycopg
import psycopg_pool

from geoingest import config, db, errors, metrics
from geoingest.lifecycle import (
    endings,
    locks,
    lookups,
    partitions,
    quarantine,
    retention,
    rollups,
    shares,
)

log = logging.getLogger(__name__)

RETRY_SECONDS = 30.0
_HOUR_SECONDS = 3600.0
# A late ping is in the rollups within two minutes.
_LATE_SECONDS = 30.0
# For a round of another process to end before one job is run by hand.
_PATIENCE_SECONDS = 60.0

Pool: TypeAlias = psycopg_pool.ConnectionPool[db.DirectConnection]
Outcome: TypeAlias = Literal["ok", "failed", "skipped"]
RunOnce: TypeAlias = Callable[[db.DirectConnection, config.Config, datetime.datetime], object]


class Backfill(Protocol):
    """A job's work over a range that is named."""

    def __call__(
        self,
        connection: db.DirectConnection,
        settings: config.Config,
        /,
        *,
        start: datetime.datetime,
        end: datetime.datetime,
    ) -> object:
        """Its result, which says itself in one line."""
        ...


class Job(NamedTuple):
    """What is done how often; the result says itself in one line."""

    run_once: RunOnce
    every_seconds: float
    backfill: Backfill | None = None


class Window(NamedTuple):
    """From when to when a job is to go back."""

    start: datetime.datetime
    end: datetime.datetime


class JobFailedError(errors.GeoingestError):
    """A job that was run by hand did not succeed."""


# In the order of a round: without its month no ping is stored.
JOBS: dict[str, Job] = {
    "partitions": Job(partitions.run_once, _HOUR_SECONDS),
    "rollups": Job(rollups.run_once, _LATE_SECONDS, rollups.backfill),
    "quarantine": Job(quarantine.run_once, _HOUR_SECONDS),
    "lookups": Job(lookups.run_once, _HOUR_SECONDS),
    "endings": Job(endings.run_once, _HOUR_SECONDS),
    "shares": Job(shares.run_once, _HOUR_SECONDS),
    # Behind the rollups: what they have not got yet is kept.
    "retention": Job(retention.run_once, _HOUR_SECONDS),
}


def run(
    settings: config.Config,
    stop: threading.Event,
    registry: Mapping[str, Job] = JOBS,
    *,
    retry_seconds: float = RETRY_SECONDS,
) -> None:
    """Runs every job now and whenever it is due, until `stop` is set; what did not succeed, again soon."""
    due_at = dict.fromkeys(registry, time.monotonic())
    with pool(settings) as connections:
        while not stop.wait(max(0.0, min(due_at.values()) - time.monotonic())):
            due = {name: registry[name] for name, at in due_at.items() if at <= time.monotonic()}
            try:
                outcomes = run_once(connections, settings, due, now=_now())
            except psycopg.Error as exc:
                log.warning("jobs not run", extra={"reason": db.sqlstate(exc)})
                outcomes = {}
            for name, job in due.items():
                pause = job.every_seconds if outcomes.get(name) == "ok" else retry_seconds
                due_at[name] = time.monotonic() + pause


def pool(settings: config.Config) -> Pool:
    """The jobs' own connection to the primary, past any pooler."""
    return db.direct_pool(settings.direct_url)


def run_once(
    connections: Pool,
    settings: config.Config,
    due: Mapping[str, Job] = JOBS,
    *,
    now: datetime.datetime,
) -> dict[str, Outcome]:
    """One round under the jobs' lock; what came of each job, all skipped when another process is at it.

    Raises psycopg.Error when the database is away.
    """
    outcomes: dict[str, Outcome] = {}
    try:
        with (
            connections.connection() as connection,
            locks.hold(connection, locks.JOBS, patience_seconds=0),
        ):
            for name, job in due.items():
                work = functools.partial(job.run_once, connection, settings, now)
                outcomes[name], _ = _run(connection, name, work)
    except locks.LockedError:
        for name in due:
            metrics.job_runs.labels(name, "skipped").inc()
            outcomes[name] = "skipped"
    return outcomes


def run_now(
    connections: Pool,
    settings: config.Config,
    name: str,
    *,
    now: datetime.datetime,
    window: Window | None = None,
    registry: Mapping[str, Job] = JOBS,
) -> str:
    """Runs one job by hand, over a window if one is named; its result, or JobFailedError."""
    job = registry[name]
    with (
        connections.connection() as connection,
        locks.hold(connection, locks.JOBS, patience_seconds=_PATIENCE_SECONDS),
    ):
        work = functools.partial(job.run_once, connection, settings, now)
        if window is not None and job.backfill is not None:
            work = functools.partial(
                job.backfill, connection, settings, start=window.start, end=window.end
            )
        outcome, words = _run(connection, name, work)
    if outcome == "failed":
        raise JobFailedError(f"{name} failed: {words}")
    return words


def _run(
    connection: db.DirectConnection, name: str, work: Callable[[], object]
) -> tuple[Outcome, str]:
    started_at, started = _now(), time.perf_counter()
    outcome: Outcome = "failed"
    try:
        words = str(work())
        outcome = "ok"
    except psycopg.Error as exc:
        # Its text may hold a row.
        words = db.sqlstate(exc)
    except errors.GeoingestError as exc:
        words = str(exc)
    seconds = time.perf_counter() - started
    succeeded_at = None
    metrics.job_runs.labels(name, outcome).inc()
    metrics.job_duration.labels(name).set(seconds)
    if outcome == "ok":
        succeeded_at = _now()
        metrics.job_last_success.labels(name).set(succeeded_at.timestamp())
        log.debug("job done", extra={"job": name, "result": words})
    else:
        log.warning("job failed", extra={"job": name, "reason": words})
    connection.execute(
        db.queries()["note_job_run"], [name, started_at, seconds, outcome, words, succeeded_at]
    )
    return outcome, words


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
