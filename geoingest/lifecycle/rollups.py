"""Pings by hour and by day: hours that are over are rolled up once, hours that got a late ping again.

How the roller and the writers keep apart, without a lock between them:

1. The watermark moves first, in its own transaction, to the end of the last hour that is over. A
   transaction that inserts a ping from before it notes the ping's hour in rollup_dirty (a trigger does).
2. Who had read the old watermark is older than that transaction. The roller waits until all such have
   ended; every ping of the hours to roll is now committed, or will note itself.
3. The hours up to the watermark are rolled, a day's worth in one transaction, and rolled_to follows.
4. Entries of rollup_dirty are deleted and their hours rolled again in one transaction: what was
   committed with an entry is visible when the entry is; what comes later brings an entry of its own.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import NamedTuple

from typing_extensions import override

from geoingest import config, db, metrics
from geoingest.lifecycle import barrier, partitions

# Pings that come a little late, most of them, still write nothing but themselves.
GRACE = datetime.timedelta(minutes=5)
_SLICE = datetime.timedelta(days=1)
_DIRTY_AT_ONCE = 5_000
_HOUR = datetime.timedelta(hours=1)


class Rolled(NamedTuple):
    """Rows of the hourly and the daily rollup that changed, and up to when all hours are in."""

    hours: int
    days: int
    rolled_to: datetime.datetime

    @override
    def __str__(self) -> str:
        return f"{self.hours} hours, {self.days} days, up to {self.rolled_to:%Y-%m-%d %H:%M}Z"


def run_once(
    connection: db.DirectConnection,
    settings: config.Config,
    now: datetime.datetime,
    *,
    patience_seconds: float = barrier.PATIENCE_SECONDS,
) -> Rolled:
    """Rolls up what is over and what was late; the caller holds the jobs' lock.

    Raises WritersBusyError, after the late hours, when the hours that are over cannot be rolled yet.
    """
    del settings
    over = (now - GRACE).astimezone(datetime.UTC).replace(minute=0, second=0, microsecond=0)
    watermark, rolled_to = _move_watermark(connection, over)
    late_hours, late_days = _roll_dirty(connection)
    if rolled_to == watermark:
        return _counted(Rolled(late_hours, late_days, rolled_to))
    barrier.wait_for_writers(connection, patience_seconds=patience_seconds)
    start = max(rolled_to, partitions.earliest(connection) or watermark)
    hours, days = _roll(connection, start, watermark)
    return _counted(Rolled(hours + late_hours, days + late_days, watermark))


def backfill(
    connection: db.DirectConnection,
    settings: config.Config,
    *,
    start: datetime.datetime,
    end: datetime.datetime,
) -> Rolled:
    """Rolls a range again, open hours included, but for what is sealed; the caller holds the lock."""
    del settings
    hours = days = 0
    for first, last in _slices(start, end + _HOUR):
        with connection.transaction():
            more_hours, more_days = _roll_slice(connection, first, last)
        hours, days = hours + more_hours, days + more_days
    return _counted(Rolled(hours, days, end))


def _move_watermark(
    connection: db.DirectConnection, over: datetime.datetime
) -> tuple[datetime.datetime, datetime.datetime]:
    row = db.one(connection.execute(db.queries()["move_watermark"], [over]))
    return row["watermark"], row["rolled_to"]


def _roll(
    connection: db.DirectConnection, start: datetime.datetime, end: datetime.datetime
) -> tuple[int, int]:
    hours = days = 0
    for first, last in _slices(start, end):
        with connection.transaction():
            more_hours, more_days = _roll_slice(connection, first, last)
            connection.execute(db.queries()["note_rolled"], [last])
        hours, days = hours + more_hours, days + more_days
    return hours, days


def _roll_slice(
    connection: db.DirectConnection, start: datetime.datetime, end: datetime.datetime
) -> tuple[int, int]:
    first_hour, first_day = (
        db.one(connection.execute(db.queries()[name], [start]))["begins_at"]
        for name in ("earliest_hour", "earliest_day")
    )
    row = db.one(connection.execute(db.queries()["roll_range"], [first_hour, end, first_day]))
    return row["hours"], row["days"]


def _roll_dirty(connection: db.DirectConnection) -> tuple[int, int]:
    hours = days = 0
    while True:
        with connection.transaction():
            taken = connection.execute(db.queries()["take_dirty"], [_DIRTY_AT_ONCE]).fetchall()
            if not taken:
                return hours, days
            pairs = sorted({(row["student_id"], row["hour"]) for row in taken})
            columns = [list(column) for column in zip(*pairs, strict=True)]
            hours += db.one(connection.execute(db.queries()["roll_dirty_hours"], columns))["hours"]
            days += db.one(connection.execute(db.queries()["roll_dirty_days"], columns))["days"]


def _slices(
    start: datetime.datetime, end: datetime.datetime
) -> Iterator[tuple[datetime.datetime, datetime.datetime]]:
    while start < end:
        following = min(start + _SLICE, end)
        yield start, following
        start = following


def _counted(rolled: Rolled) -> Rolled:
    metrics.rollup_rows_written.inc(rolled.hours + rolled.days)
    return rolled
