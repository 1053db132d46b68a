"""Months of pings are there before they are needed, in UTC, made once and in nobody's way."""

from __future__ import annotations

import concurrent.futures
import datetime
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoingest import db
from geoingest.lifecycle import migrations, partitions
from tests import conftest, test_ping

_NEXT_YEAR = test_ping.NOW + datetime.timedelta(days=400)
_MONTH_ENDS = [
    *(f"2026-{month}" for month in ("01-31", "02-28", "03-31", "04-30", "05-31", "06-30")),
    *(f"2026-{month}" for month in ("07-31", "08-31", "09-30", "10-31", "11-30", "12-31")),
    *("2028-02-29", "2027-01-01"),
]


@pytest.mark.parametrize("day", _MONTH_ENDS)
@pytest.mark.parametrize("clock", ["00:00:00", "23:59:59.999999"])
def test_wanted_at_the_ends_of_months(day: str, clock: str) -> None:
    """From the month of the oldest ping we take to three ahead, each once, none left out."""
    now = _utc(f"{day}T{clock}")

    months = partitions.wanted(now, detail_days=90)

    oldest = now - datetime.timedelta(days=90)
    assert months[0] == oldest.date().replace(day=1)
    numbers = [month.year * 12 + month.month for month in months]
    assert numbers == list(range(numbers[0], now.year * 12 + now.month + 3 + 1))
    assert all(month.day == 1 for month in months)


def test_wanted_on_leap_day() -> None:
    """An example to read: 90 days before 29 February 2028 is 1 December."""
    names = [
        partitions.name(month)
        for month in partitions.wanted(_utc("2028-02-29T12:00:00"), detail_days=90)
    ]

    assert names == [
        f"geolocation_data_y{month}"
        for month in ("2027m12", "2028m01", "2028m02", "2028m03", "2028m04", "2028m05")
    ]


@given(
    st.datetimes(timezones=st.just(datetime.UTC)).filter(lambda at: 1900 < at.year < 9000),
    st.integers(1, 1000),
)
def test_every_ping_we_take_has_its_month(now: datetime.datetime, detail_days: int) -> None:
    """The oldest, the newest, and any ping of the next three months."""
    months = partitions.wanted(now, detail_days=detail_days)

    ahead = now + datetime.timedelta(days=28 * partitions.MONTHS_AHEAD)
    for at in (now - datetime.timedelta(days=detail_days), now, ahead):
        assert at.date().replace(day=1) in months


def test_a_migrated_database_covers_the_window_and_nothing_by_default(
    database: conftest.Database,
) -> None:
    """Months side by side from the oldest ping to three ahead; no DEFAULT partition, ever."""
    bounds = _bounds(database)

    wanted = partitions.wanted(test_ping.NOW, detail_days=90)
    assert list(bounds) == [partitions.name(month) for month in wanted]
    assert bounds == {partitions.name(month): _month(month) for month in wanted}
    assert "DEFAULT" not in str(_expressions(database))


def test_ensure_again_makes_nothing(database: conftest.Database) -> None:
    """The job runs each hour: what is there is left alone."""
    with db.direct(database.url) as connection:
        made = partitions.ensure(connection, detail_days=90, now=_NEXT_YEAR)
        again = partitions.ensure(connection, detail_days=90, now=_NEXT_YEAR)

    wanted = partitions.wanted(_NEXT_YEAR, detail_days=90)
    assert made == [partitions.name(month) for month in wanted]
    assert again == []


def test_two_migrations_at_once_make_each_month_once(database: conftest.Database) -> None:
    """Two processes started together: one works, the other waits and finds it done."""
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        runs = [
            pool.submit(migrations.run, database.url, detail_days=90, now=_NEXT_YEAR)
            for _ in range(2)
        ]
        made = [run.result(timeout=60) for run in runs]

    wanted = [partitions.name(month) for month in partitions.wanted(_NEXT_YEAR, detail_days=90)]
    assert sorted(made) == [[], wanted]


@pytest.mark.parametrize("zone", ["America/St_Johns", "Pacific/Kiritimati"])
def test_months_begin_at_midnight_utc_wherever_the_session_is(
    database: conftest.Database, zone: str
) -> None:
    """A session's own time zone moves no bound: a ping of the last microsecond finds its month."""
    with db.direct(database.url) as connection:
        connection.execute("SELECT set_config('TimeZone', $1, false)", [zone])
        partitions.ensure(connection, detail_days=1, now=_NEXT_YEAR)

    bounds = _bounds(database)
    wanted = partitions.wanted(_NEXT_YEAR, detail_days=1)
    assert {name: bounds[name] for name in map(partitions.name, wanted)} == {
        partitions.name(month): _month(month) for month in wanted
    }


def test_a_new_month_has_the_index_and_the_rules_of_the_others(
    database: conftest.Database,
) -> None:
    """Unique by key, checked by the same named constraints, and no scaffolding left behind."""
    found = database.query(
        "SELECT relid::regclass::text,"
        " (SELECT count(*) FROM pg_index WHERE indrelid = relid AND indisunique AND indisvalid),"
        " (SELECT array_agg(conname::text ORDER BY conname) FROM pg_constraint"
        "  WHERE conrelid = relid AND contype = 'c')"
        " FROM pg_partition_tree('geolocation_data') WHERE isleaf"
    )

    assert len(found) >= 6
    rules = ["battery_in_percent", "latitude_in_range", "longitude_in_range"]
    assert {(index, tuple(names)) for _, index, names in found} == {(1, tuple(rules))}  # type: ignore[arg-type]


def test_a_month_is_attached_while_others_read_and_write(database: conftest.Database) -> None:
    """ATTACH waits neither for a long reader nor for an open insert, and blocks neither."""
    with psycopg.connect(database.url) as reader, psycopg.connect(database.url) as sender:
        reader.execute("SELECT count(*) FROM geolocation_data")
        sender.execute(
            "INSERT INTO geolocation_data VALUES (1, now(), 7, 1, 2, NULL, NULL, NULL, NULL, NULL, now())"
        )

        with db.direct(database.url) as connection:
            connection.execute("SET lock_timeout = '200ms'")
            made = partitions.ensure(connection, detail_days=1, now=_NEXT_YEAR)

    assert len(made) >= 4


def _expressions(database: conftest.Database) -> list[tuple[Any, ...]]:
    return database.query(
        "SELECT set_config('TimeZone', 'UTC', true), child.relname,"
        " pg_get_expr(child.relpartbound, child.oid)"
        " FROM pg_inherits JOIN pg_class AS child ON child.oid = inhrelid"
        " WHERE inhparent = 'geolocation_data'::regclass ORDER BY child.relname"
    )


def _bounds(database: conftest.Database) -> dict[str, str]:
    return {name: bound for _, name, bound in _expressions(database)}


def _month(month: datetime.date) -> str:
    end = partitions.following(month)
    return f"FOR VALUES FROM ('{month} 00:00:00+00') TO ('{end} 00:00:00+00')"


def _utc(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(f"{text}+00:00")
