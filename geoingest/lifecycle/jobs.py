"""The periodic jobs: months ahead, quarantine; one process at a time does them."""

from __future__ import annotations

import datetime
import logging
import threading
import time
from collections.abc import Callable
from typing import TypeAlias

import psycopg
import psycopg_pool

from geoingest import config, db, metrics
from geoingest.lifecycle import locks, partitions, quarantine

log = logging.getLogger(__name__)

# Months ahead leave weeks of slack; an hour only keeps a restart from mattering.
INTERVAL_SECONDS = 3600.0
RETRY_SECONDS = 30.0
_SCHEMA_PATIENCE_SECONDS = 60.0

Pool: TypeAlias = psycopg_pool.ConnectionPool[db.DirectConnection]
Job: TypeAlias = Callable[[db.DirectConnection, config.Config, datetime.datetime], object]


def _partitions(
    connection: db.DirectConnection, settings: config.Config, now: datetime.datetime
) -> list[str]:
    with locks.hold(connection, locks.SCHEMA, patience_seconds=_SCHEMA_PATIENCE_SECONDS):
        return partitions.ensure(connection, detail_days=settings.detail_days, now=now)


def _quarantine(
    connection: db.DirectConnection, settings: config.Config, now: datetime.datetime
) -> int:
    return quarantine.expire(connection, rejected_days=settings.rejected_days, now=now)


JOBS: dict[str, Job] = {"partitions": _partitions, "quarantine": _quarantine}


def run(settings: config.Config, stop: threading.Event) -> None:
    """Runs all jobs now and every hour until `stop` is set; a failure is tried again soon."""
    with pool(settings) as connections:
        while not stop.is_set():
            try:
                ok = run_once(connections, settings, now=datetime.datetime.now(datetime.UTC))
            except psycopg.Error as exc:
                log.warning("jobs not run", extra={"reason": db.sqlstate(exc)})
                ok = False
            stop.wait(INTERVAL_SECONDS if ok else RETRY_SECONDS)


def pool(settings: config.Config) -> Pool:
    """The jobs' own connection to the primary, past any pooler."""
    return db.direct_pool(settings.direct_url)


def run_once(connections: Pool, settings: config.Config, *, now: datetime.datetime) -> bool:
    """One round under the jobs' lock; True when every job succeeded or another process is at it.

    Raises psycopg.Error when the database is away.
    """
    try:
        with (
            connections.connection() as connection,
            locks.hold(connection, locks.JOBS, patience_seconds=0),
        ):
            outcomes = [_run_job(name, connection, settings, now) for name in JOBS]
    except locks.LockedError:
        for name in JOBS:
            metrics.job_runs.labels(name, "skipped").inc()
        return True
    return all(outcomes)


def _run_job(
    name: str, connection: db.DirectConnection, settings: config.Config, now: datetime.datetime
) -> bool:
    started = time.perf_counter()
    try:
        result = JOBS[name](connection, settings, now)
    except psycopg.Error as exc:
        metrics.job_runs.labels(name, "failed").inc()
        log.warning("job failed", extra={"job": name, "reason": db.sqlstate(exc)})
        return False
    metrics.job_runs.labels(name, "ok").inc()
    metrics.job_duration.labels(name).set(time.perf_counter() - started)
    metrics.job_last_success.labels(name).set_to_current_time()
    if result:
        log.info("job done", extra={"job": name, "result": result})
    return True
