"""Nothing is kept beyond its time, and nothing goes before it is in both rollups."""

from __future__ import annotations

import datetime
import pathlib
from collections.abc import Callable, Iterator

import psycopg
import pyarrow.parquet
import pytest

from geoingest import config, db, errors
from geoingest.lifecycle import barrier, partitions, retention, rollups
from tests import conftest, recount

_DAY = datetime.timedelta(days=1)
# In the night, when jobs have the server for themselves; a leap year, and two changes of the clock.
_START = datetime.datetime(2027, 12, 1, 3, 30, tzinfo=datetime.UTC)
_SETTINGS = config.Config()
_STUDENTS = (1, 2, 3)
_INSERT = """
INSERT INTO geolocation_data (student_id, "timestamp", device_id, latitude, longitude, received_at)
VALUES ($1, $2, $3, $4, $5, $6)
"""


@pytest.fixture
def connection(database: conftest.Database) -> Iterator[db.DirectConnection]:
    """The jobs' own; one student's school is where the days begin earlier."""
    for student_id in _STUDENTS:
        database.query("INSERT INTO students (student_id) VALUES ($1)", student_id)
    database.query("INSERT INTO schools (time_zone) VALUES ('Asia/Kolkata')")
    database.query(
        "UPDATE students SET school_id = (SELECT school_id FROM schools) WHERE student_id = 2"
    )
    with db.direct(database.url) as made:
        yield made


def test_fifteen_months(database: conftest.Database, connection: db.DirectConnection) -> None:
    """Every night: three months ahead, no ping beyond 91 days, no rollup beyond 13 months, none lost."""
    sent: list[recount.Fix] = []
    now, there = _START, set[str]()
    for number in range(455):
        now = _START + number * _DAY
        partitions.ensure(connection, detail_days=_SETTINGS.detail_days, now=now)
        sent += _write(connection, now)
        rollups.run_once(connection, _SETTINGS, now)

        expired = retention.run_once(connection, _SETTINGS, now)

        assert expired.sealed_to >= now - datetime.timedelta(days=91)
        ((oldest, hour, day),) = database.query(
            'SELECT (SELECT min("timestamp") FROM geolocation_data),'
            " (SELECT min(hour) FROM geolocation_hourly), (SELECT min(day) FROM geolocation_daily)"
        )
        assert oldest >= now - datetime.timedelta(days=91)  # type: ignore[operator]  # instants
        assert hour >= now - datetime.timedelta(days=365 + 31)  # type: ignore[operator]
        assert day >= (now - datetime.timedelta(days=365 + 31)).date()  # type: ignore[operator]
        there = {partitions.name(month) for month in partitions.attached(connection)}
        assert sum(name > f"geolocation_data_y{now:%Ym%m}" for name in there) >= 3

    kept = now - datetime.timedelta(days=_SETTINGS.rollup_days)
    rollups.backfill(connection, _SETTINGS, start=now - 2 * _DAY, end=now)
    ((pings,),) = database.query("SELECT sum(pings) FROM geolocation_hourly")
    assert pings == sum(fix.timestamp >= kept for fix in sent)
    assert database.query(
        "SELECT count(*) FROM pg_class WHERE relname ~ '^geolocation_data_y' AND relkind = 'r'"
    )[0][0] == len(there)


def test_a_frozen_roller_keeps_everything(
    database: conftest.Database, connection: db.DirectConnection
) -> None:
    """Nothing goes that is not rolled up; once the roller runs again, everything does."""
    now = _aged(connection, rolled=False)

    with pytest.raises(retention.NotSealedError, match="not rolled up yet"):
        retention.run_once(connection, _SETTINGS, now)
    kept = _count(database)
    rollups.run_once(connection, _SETTINGS, now)
    retention.run_once(connection, _SETTINGS, now)

    assert kept == 2 * len(_STUDENTS)
    assert _count(database) == 0


@pytest.mark.parametrize(
    ("breakage", "words"),
    [
        ("UPDATE geolocation_hourly SET pings = pings + 1 WHERE student_id = 3", "hours differ"),
        ("DELETE FROM geolocation_hourly WHERE student_id = 2", "hours differ"),
        ("UPDATE geolocation_daily SET pings = 0 WHERE student_id = 1", "days differ"),
        ("DELETE FROM geolocation_daily WHERE student_id = 1", "days differ"),
    ],
)
def test_broken_totals_keep_everything(
    database: conftest.Database, connection: db.DirectConnection, breakage: str, words: str
) -> None:
    """From the day on that does not add up; rolled again, it goes."""
    now = _aged(connection)
    connection.execute(breakage)

    with pytest.raises(retention.NotSealedError, match=words):
        retention.run_once(connection, _SETTINGS, now)
    kept = _count(database)
    rollups.backfill(connection, _SETTINGS, start=_START - 3 * _DAY, end=_START + 3 * _DAY)
    retention.run_once(connection, _SETTINGS, now)

    assert kept == 2 * len(_STUDENTS)
    assert _count(database) == 0


def test_a_ping_on_its_way_is_waited_for(
    database: conftest.Database, connection: db.DirectConnection
) -> None:
    """A day is not sealed while a transaction is open that may hold a ping of it."""
    now = _aged(connection)
    with psycopg.connect(database.url, cursor_factory=psycopg.RawCursor) as late:
        late.execute(_INSERT, [1, _START + datetime.timedelta(minutes=1), 9, 52.5, 13.4, now])

        with pytest.raises(barrier.WritersBusyError):
            retention.run_once(connection, _SETTINGS, now, patience_seconds=0.2)

    with pytest.raises(retention.NotSealedError, match="late pings"):
        retention.run_once(connection, _SETTINGS, now)
    rollups.run_once(connection, _SETTINGS, now)
    retention.run_once(connection, _SETTINGS, now)
    ((pings,),) = database.query("SELECT sum(pings) FROM geolocation_hourly")
    assert (pings, _count(database)) == (2 * len(_STUDENTS) + 1, 0)


def test_what_is_sealed_takes_no_ping(
    database: conftest.Database, connection: db.DirectConnection
) -> None:
    """The door refuses it as too old; the database does, too, whoever writes."""
    now = _aged(connection)
    retention.run_once(connection, _SETTINGS, now)
    before = database.query("SELECT pings FROM geolocation_hourly ORDER BY student_id, hour")
    partitions.ensure(connection, detail_days=200, now=now)

    with pytest.raises(psycopg.errors.CheckViolation) as refused:
        connection.execute(_INSERT, [1, _START, 9, 52.5, 13.4, now])
    rollups.backfill(connection, _SETTINGS, start=_START - _DAY, end=_START + _DAY)

    assert refused.value.diag.constraint_name == "ping_is_not_too_old"
    assert (
        database.query("SELECT pings FROM geolocation_hourly ORDER BY student_id, hour") == before
    )


def test_rollups_of_pings_that_are_kept_stay(
    database: conftest.Database, connection: db.DirectConnection
) -> None:
    """However short their own time is; once the pings have gone, they go too."""
    now = _aged(connection)
    long = config.Config(detail_days=365, rollup_days=30)
    short = config.Config(detail_days=90, rollup_days=30)

    kept = retention.run_once(connection, long, now)
    gone = retention.run_once(connection, short, now)

    assert (kept.rollups, gone.rollups) == (0, 3 * len(_STUDENTS))
    assert _count(database) == 0


def test_a_day_whose_hours_have_gone_in_part_is_not_rolled_again(
    database: conftest.Database, connection: db.DirectConnection
) -> None:
    """What is sealed is final: a backfill would make it less."""
    now = _aged(connection)
    retention.run_once(connection, _SETTINGS, now)
    days = "SELECT student_id, day, pings FROM geolocation_daily ORDER BY student_id"
    before = database.query(days)
    connection.execute("DELETE FROM geolocation_hourly WHERE hour = $1", [_START.replace(minute=0)])

    rollups.backfill(connection, _SETTINGS, start=_START - _DAY, end=_START + _DAY)

    assert database.query(days) == before


def test_with_an_archive_nothing_goes_that_is_not_in_it(
    database: conftest.Database, connection: db.DirectConnection, tmp_path: pathlib.Path
) -> None:
    """Where a day cannot be written its pings stay; written, they go, from months dropped whole too."""
    now = _aged(connection)
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where the folder should be")

    with pytest.raises(errors.LocalError):
        retention.run_once(connection, config.Config(archive_dir=str(blocked)), now)
    kept = _count(database)
    retention.run_once(connection, config.Config(archive_dir=str(tmp_path)), now)

    assert kept == 2 * len(_STUDENTS)
    assert _count(database) == 0
    archived = pyarrow.parquet.read_table(tmp_path / partitions.name(_START.date().replace(day=1)))
    assert sorted(archived["timestamp"].to_pylist()) == sorted(
        [_START, _START + datetime.timedelta(minutes=70)] * len(_STUDENTS)
    )


def _write(connection: db.DirectConnection, now: datetime.datetime) -> list[recount.Fix]:
    """A few pings of each student: of this day, and one that is weeks late."""
    ages: list[Callable[[int], datetime.timedelta]] = [
        lambda _: datetime.timedelta(minutes=1),
        lambda student: datetime.timedelta(hours=5 * student),
        lambda student: datetime.timedelta(days=29 * student, minutes=7),
    ]
    fixes = [
        recount.Fix(student, now - age(student), 7, 52.5, 13.4)
        for student in _STUDENTS
        for age in ages
    ]
    for fix in fixes:
        connection.execute(_INSERT, [*fix[:5], now])
    return fixes


def _aged(connection: db.DirectConnection, *, rolled: bool = True) -> datetime.datetime:
    """Two pings of each student on the first day, now 100 days old."""
    partitions.ensure(connection, detail_days=90, now=_START)
    for student in _STUDENTS:
        for minutes in (0, 70):
            at = _START + datetime.timedelta(minutes=minutes)
            connection.execute(_INSERT, [student, at, 7, 52.5, 13.4, at])
    now = _START + 100 * _DAY
    partitions.ensure(connection, detail_days=90, now=now)
    if rolled:
        rollups.run_once(connection, _SETTINGS, now)
    return now


def _count(database: conftest.Database) -> object:
    ((count,),) = database.query("SELECT count(*) FROM geolocation_data")
    return count
