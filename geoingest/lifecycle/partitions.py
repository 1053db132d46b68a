"""Months of geolocation_data: made ahead by ATTACH, which blocks no insert."""

from __future__ import annotations

import datetime
import logging

import psycopg
from psycopg import sql

from geoingest import db

log = logging.getLogger(__name__)

MONTHS_AHEAD = 3
_LOCK_ATTEMPTS = 5
_NAME = "geolocation_data_y%Ym%m"


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
    return month.strftime(_NAME)


def bounds(month: datetime.date) -> tuple[datetime.datetime, datetime.datetime]:
    """The instants from which and before which its pings are."""
    start, end = (
        datetime.datetime.combine(day, datetime.time(), datetime.UTC)
        for day in (month, following(month))
    )
    return start, end


def attached(connection: db.DirectConnection) -> list[datetime.date]:
    """The months that are there, the oldest first."""
    found = connection.execute(db.queries()["list_partitions"]).fetchall()
    return [
        datetime.datetime.strptime(str(row["partition_name"]), _NAME).date()  # noqa: DTZ007  # a month
        for row in found
    ]


def earliest(connection: db.DirectConnection) -> datetime.datetime | None:
    """From which instant on there are partitions."""
    months = attached(connection)
    return bounds(months[0])[0] if months else None


def drop(connection: db.DirectConnection, partition: str) -> None:
    """Removes a month without a lock that inserts would wait for."""
    table = sql.Identifier(partition)
    connection.execute(
        sql.SQL("ALTER TABLE geolocation_data DETACH PARTITION {} CONCURRENTLY").format(table)
    )
    connection.execute(sql.SQL("DROP TABLE {}").format(table))


def ensure(
    connection: db.DirectConnection, *, detail_days: int, now: datetime.datetime
) -> list[str]:
    """Makes the months that are missing and returns their names; the caller holds a lock."""
    found = connection.execute(db.queries()["list_partitions"]).fetchall()
    existing = {str(row["partition_name"]) for row in found}
    months = wanted(now, detail_days=detail_days)
    missing = [month for month in months if name(month) not in existing]
    for month in missing:
        _attach(connection, month)
    return [name(month) for month in missing]


def _attach(connection: db.DirectConnection, month: datetime.date) -> None:
    """A table of its own first, then ATTACH: that lock lets inserts pass, CREATE .. PARTITION OF does not."""
    for attempt in range(1, _LOCK_ATTEMPTS + 1):
        try:
            with connection.transaction():
                for statement in _statements(month):
                    connection.execute(statement)
        except psycopg.errors.LockNotAvailable:
            if attempt == _LOCK_ATTEMPTS:
                raise
            log.warning("partition waits for a lock", extra={"partition": name(month)})
        else:
            return


def _statements(month: datetime.date) -> list[sql.Composed]:
    table = sql.Identifier(name(month))
    # Instants, not dates: a date would mean midnight in the session's time zone.
    start, end = (sql.Literal(f"{day} 00:00:00+00") for day in (month, following(month)))
    return [
        sql.SQL("CREATE TABLE {} (LIKE geolocation_data INCLUDING ALL)").format(table),
        # Spares ATTACH the scan, which would hold its lock for as long.
        sql.SQL(
            "ALTER TABLE {} ADD CONSTRAINT month_bounds"
            ' CHECK ("timestamp" >= {} AND "timestamp" < {})'
        ).format(table, start, end),
        sql.SQL(
            "ALTER TABLE geolocation_data ATTACH PARTITION {} FOR VALUES FROM ({}) TO ({})"
        ).format(table, start, end),
        sql.SQL("ALTER TABLE {} DROP CONSTRAINT month_bounds").format(table),
    ]
