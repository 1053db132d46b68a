"""Pings leave after 90 days, rollups after a year; no ping leaves before it is in both rollups.

A day of pings goes in four steps, each of which a killed run leaves for the next one to go on from:

1. It is closed: old enough that no ping of it is taken any more, nor by the database from now on; then
   the writers that are still at work are waited for.
2. Its hours and days are compared with its pings, and the day is sealed in the same transaction. What
   is not rolled, or not equal, stops here: nothing from then on is dropped until it is mended.
3. It is written to the archive, if there is one.
4. Its rows are deleted, a few blocks at a time; a month that is sealed to its end is dropped instead.
"""

from __future__ import annotations

import datetime
import pathlib
from typing import NamedTuple

from typing_extensions import override

from geoingest import config, db, errors
from geoingest.lifecycle import archive, barrier, partitions, removal

DAY = datetime.timedelta(days=1)
# Beyond the age at which a ping is refused, for whatever a stalled writer may still hold; and more than
# the hour that a midnight in UTC may cut on a school's clock.
MARGIN = datetime.timedelta(hours=2)
# Ten thousand rows at most.
_BLOCKS_AT_ONCE = 128
_ROWS_AT_ONCE = 5_000
# What count_unequal counts, in words.
_PROBLEMS = {
    "late": "late pings are not rolled up yet",
    "hours": "hours differ from their pings; run: geoingest jobs run rollups --from --to",
    "days": "days differ from their hours; run: geoingest jobs run rollups --from --to",
}


class NotSealedError(errors.GeoingestError):
    """A day's rollups are not what its pings come to; its pings stay."""


class Expired(NamedTuple):
    """What left: pings deleted one by one, months dropped, rows of the rollups; and what is sealed."""

    pings: int
    months: int
    rollups: int
    sealed_to: datetime.datetime

    @override
    def __str__(self) -> str:
        return (
            f"{self.pings} pings, {self.months} months, {self.rollups} rollups gone;"
            f" sealed up to {self.sealed_to:%Y-%m-%d}"
        )


def run_once(
    connection: db.DirectConnection,
    settings: config.Config,
    now: datetime.datetime,
    *,
    patience_seconds: float = barrier.PATIENCE_SECONDS,
) -> Expired:
    """Seals and removes what is due; the caller holds the jobs' lock.

    Raises NotSealedError, or WritersBusyError, after everything sealed has gone.
    """
    now = now.astimezone(datetime.UTC)
    due = midnight(now - datetime.timedelta(days=settings.detail_days) - MARGIN)
    try:
        problem: errors.GeoingestError | None = _seal(connection, due, patience_seconds)
    except barrier.WritersBusyError as exc:
        problem = exc
    sealed_to = _sealed_to(connection)
    months = pings = 0
    for month in partitions.attached(connection):
        start, end = partitions.bounds(month)
        _archive(connection, settings, start, min(end, sealed_to))
        if end <= sealed_to:
            removal.drop(connection, partitions.name(month))
            months += 1
        elif start < sealed_to:
            pings += _expire_pings(connection, month, sealed_to)
    # Where pings are kept for longer than rollups, these go with them and not before.
    expires_at = now - datetime.timedelta(days=settings.rollup_days)
    rollups = _expire_rollups(connection, min(expires_at, sealed_to - DAY))
    if problem is not None:
        raise problem
    return Expired(pings, months, rollups, sealed_to)


def midnight(instant: datetime.datetime) -> datetime.datetime:
    """The beginning of its day in UTC."""
    day = instant.astimezone(datetime.UTC)
    return day.replace(hour=0, minute=0, second=0, microsecond=0)


def _seal(
    connection: db.DirectConnection, due: datetime.datetime, patience_seconds: float
) -> NotSealedError | None:
    """Seals day after day up to `due`; returns why it stopped before."""
    connection.execute(db.queries()["close"], [due])
    barrier.wait_for_writers(connection, patience_seconds=patience_seconds)
    earliest = partitions.earliest(connection)
    day = max(_sealed_to(connection), midnight(earliest or due))
    while day < due:
        with connection.transaction():
            found = db.one(connection.execute(db.queries()["count_unequal"], [day, day + DAY]))
            if found["is_open"]:
                return NotSealedError(f"{day:%Y-%m-%d} is kept: it is not rolled up yet")
            for count, words in _PROBLEMS.items():
                if found[count]:
                    return NotSealedError(f"{day:%Y-%m-%d} is kept: {found[count]} {words}")
            connection.execute(db.queries()["note_sealed"], [day + DAY])
        day += DAY
    return None


def _archive(
    connection: db.DirectConnection,
    settings: config.Config,
    start: datetime.datetime,
    end: datetime.datetime,
) -> None:
    if not settings.archive_dir:
        return
    folder, day = pathlib.Path(settings.archive_dir), start
    while day < end:
        if not archive.has(folder, day):
            archive.write(connection, folder, day, day + DAY)
        day += DAY


def _sealed_to(connection: db.DirectConnection) -> datetime.datetime:
    sealed_to: datetime.datetime = db.one(connection.execute(db.queries()["sealed_to"]))[
        "sealed_to"
    ]
    return sealed_to


def _expire_pings(
    connection: db.DirectConnection, month: datetime.date, before: datetime.datetime
) -> int:
    """Passes once over the month's table; each piece is a transaction of its own."""
    size = connection.execute(db.queries()["count_blocks"], [partitions.name(month)])
    gone = 0
    for block in range(0, db.one(size)["blocks"], _BLOCKS_AT_ONCE):
        pieces = [f"({block},0)", f"({block + _BLOCKS_AT_ONCE},0)"]
        start, _ = partitions.bounds(month)
        gone += connection.execute(
            db.queries()["delete_expired_pings"], [*pieces, start, before]
        ).rowcount
    return gone


def _expire_rollups(connection: db.DirectConnection, before: datetime.datetime) -> int:
    gone = 0
    for name in ("delete_expired_hours", "delete_expired_days"):
        deleted = _ROWS_AT_ONCE
        while deleted == _ROWS_AT_ONCE:
            deleted = connection.execute(db.queries()[name], [before, _ROWS_AT_ONCE]).rowcount
            gone += deleted
    return gone
