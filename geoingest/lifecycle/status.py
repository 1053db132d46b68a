"""How the jobs are doing, for people and scripts: each one's last run, and how far all of them are."""

from __future__ import annotations

import dataclasses
import datetime

from psycopg import sql

from geoingest import db
from geoingest.lifecycle import jobs, partitions

_DAY = datetime.timedelta(days=1)
# A day is not sealed the moment it is over.
_SLACK = datetime.timedelta(hours=6)


@dataclasses.dataclass(frozen=True, slots=True)
class LastRun:
    """A job's line; empty but for its name before its first run."""

    job: str
    started_at: datetime.datetime | None = None
    seconds: float | None = None
    outcome: str | None = None
    result: str | None = None
    succeeded_at: datetime.datetime | None = None
    due_at: datetime.datetime | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Status:
    """What the database knows of its upkeep; None where nothing was done yet."""

    jobs: list[LastRun]
    rolled_to: datetime.datetime | None
    late_hours: int
    months_ahead: int
    oldest_detail: datetime.datetime | None
    sealed_to: datetime.datetime | None
    days_not_sealed: int


def read(connection: db.DirectConnection, *, detail_days: int, now: datetime.datetime) -> Status:
    """Looks it up; cheap, whatever the tables hold."""
    rows = connection.execute(db.queries()["last_job_runs"]).fetchall()
    runs = {str(row["job"]): _last_run(row) for row in rows}
    far = db.one(connection.execute(db.queries()["how_far"]))
    months = partitions.attached(connection)
    oldest = next((month for month in months if _has_rows(connection, month)), None)
    oldest_detail = None if oldest is None else partitions.bounds(oldest)[0]
    rolled_to, sealed_to = _utc(far["rolled_to"]), _utc(far["sealed_to"])
    return Status(
        [runs.get(name) or LastRun(name) for name in jobs.JOBS],
        rolled_to,
        far["late_hours"],
        sum(partitions.bounds(month)[0] > now for month in months),
        oldest_detail,
        sealed_to,
        days_not_sealed(oldest_detail, sealed_to, due=now - datetime.timedelta(days=detail_days)),
    )


def days_not_sealed(
    oldest_detail: datetime.datetime | None,
    sealed_to: datetime.datetime | None,
    *,
    due: datetime.datetime,
) -> int:
    """Whole days of detail that should have been sealed and are not."""
    if oldest_detail is None:
        return 0
    start = oldest_detail if sealed_to is None else max(oldest_detail, sealed_to)
    return max(0, (due - _SLACK - start) // _DAY)


def _has_rows(connection: db.DirectConnection, month: datetime.date) -> bool:
    query = sql.SQL("SELECT EXISTS (SELECT FROM {}) AS found")
    table = sql.Identifier(partitions.name(month))
    return bool(db.one(connection.execute(query.format(table)))["found"])


def _last_run(row: dict[str, object]) -> LastRun:
    run = LastRun(**row)  # type: ignore[arg-type]  # the columns of last_job_runs
    job = jobs.JOBS.get(run.job)
    if job is None or run.started_at is None or run.seconds is None:
        return run
    pause = job.every_seconds if run.outcome == "ok" else jobs.RETRY_SECONDS
    ended_at = run.started_at + datetime.timedelta(seconds=run.seconds)
    return dataclasses.replace(
        run,
        started_at=_utc(run.started_at),
        succeeded_at=_utc(run.succeeded_at),
        due_at=_utc(ended_at + datetime.timedelta(seconds=pause)),
    )


def _utc(instant: datetime.datetime | None) -> datetime.datetime | None:
    return None if instant is None else instant.astimezone(datetime.UTC)
