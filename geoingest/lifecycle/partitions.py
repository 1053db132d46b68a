"""Months of geolocation_data: made ahead by ATTACH, which blocks no insert."""

from __future__ import annotations

import datetime
import functools
import re
from typing import NamedTuple

from psycopg import sql
from typing_extensions import override

from geoingest import config, db, metrics
from geoingest.lifecycle import locks, removal

MONTHS_AHEAD = 3
_NAME = re.compile(r"geolocation_data_y([0-9]{4})m(0[1-9]|1[0-2])")


class Kept(NamedTuple):
    """Months that were made, those whose half finished drop was finished, and how many are ready."""

    made: list[str]
    dropped: list[str]
    ahead: int

    @override
    def __str__(self) -> str:
        return f"{len(self.made)} made, {len(self.dropped)} dropped, {self.ahead} ahead"


def run_once(
    connection: db.DirectConnection, settings: config.Config, now: datetime.datetime
) -> Kept:
    """Finishes what a killed run left, and makes the months that are missing."""
    with locks.hold(connection, locks.SCHEMA, patience_seconds=locks.SCHEMA_SECONDS):
        try:
            dropped = removal.finish(connection)
        finally:
            # A reader who keeps an old month from leaving must not keep a new one from coming.
            made = ensure(connection, detail_days=settings.detail_days, now=now)
    ahead = sum(bounds(month)[0] > now for month in attached(connection))
    metrics.partitions_ahead.set(ahead)
    return Kept(made, dropped, ahead)


def wanted(now: datetime.datetime, *, detail_days: int) -> list[datetime.date]:
    """The first days of all months from now - detail_days to three months ahead, in UTC."""
    first = (now - datetime.timedelta(days=detail_days)).date().replace(day=1)
    last = now.date().replace(day=1)
    for _ in range(MONTHS_AHEAD):
        last = following(last)
    months = [first]
    while months[-1] < last:
        months.append(following(months[-1]))
    return months


def following(month: datetime.date) -> datetime.date:
    """The first day of the next month."""
    return (month + datetime.timedelta(days=32)).replace(day=1)


def name(month: datetime.date) -> str:
    """The partition's table name: geolocation_data_y2026m11."""
    return f"geolocation_data_y{month:%Ym%m}"


def bounds(month: datetime.date) -> tuple[datetime.datetime, datetime.datetime]:
    """The instants from which and before which its pings are."""
    start, end = (
        datetime.datetime.combine(day, datetime.time(), datetime.UTC)
        for day in (month, following(month))
    )
    return start, end


def attached(connection: db.DirectConnection) -> list[datetime.date]:
    """The months that are there, the oldest first."""
    found = connection.execute(db.queries()["list_partitions"])
    names = (_NAME.fullmatch(str(row["partition_name"])) for row in found)
    return [datetime.date(int(one[1]), int(one[2]), 1) for one in names if one]


def earliest(connection: db.DirectConnection) -> datetime.datetime | None:
    """From which instant on there are partitions."""
    months = attached(connection)
    return bounds(months[0])[0] if months else None


def ensure(
    connection: db.DirectConnection, *, detail_days: int, now: datetime.datetime
) -> list[str]:
    """Makes the months that are missing and returns their names; the caller holds a lock."""
    existing = set(attached(connection))
    missing = [month for month in wanted(now, detail_days=detail_days) if month not in existing]
    for month in missing:
        locks.patiently(functools.partial(_attach, connection, month), name(month))
        metrics.partitions_created.inc()
    return [name(month) for month in missing]


def _attach(connection: db.DirectConnection, month: datetime.date) -> None:
    """A table of its own first, then ATTACH: that lock lets inserts pass, CREATE .. PARTITION OF does not."""
    table = sql.Identifier(name(month))
    # Instants, not dates: a date would mean midnight in the session's time zone.
    start, end = (sql.Literal(f"{day} 00:00:00+00") for day in (month, following(month)))
    with connection.transaction():
        # A table that bears the month's name, detached or restored by hand, is the month.
        connection.execute(
            sql.SQL("CREATE TABLE IF NOT EXISTS {} (LIKE geolocation_data INCLUDING ALL)").format(
                table
            )
        )
        # Spares ATTACH the scan, which would hold its lock for as long.
        connection.execute(
            sql.SQL(
                "ALTER TABLE {} ADD CONSTRAINT month_bounds"
                ' CHECK ("timestamp" >= {} AND "timestamp" < {})'
            ).format(table, start, end)
        )
        connection.execute(
            sql.SQL(
                "ALTER TABLE geolocation_data ATTACH PARTITION {} FOR VALUES FROM ({}) TO ({})"
            ).format(table, start, end)
        )
        connection.execute(sql.SQL("ALTER TABLE {} DROP CONSTRAINT month_bounds").format(table))
