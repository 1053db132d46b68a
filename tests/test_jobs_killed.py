"""Rolling up and removing pings, killed before any statement: the next run leaves what an undisturbed one does."""

from __future__ import annotations

import datetime
from collections.abc import Callable

import psycopg
import pytest

from geoingest import config, db
from geoingest.lifecycle import partitions, retention, rollups
from tests import conftest, killed, recount

_NOW = datetime.datetime(2026, 4, 5, 10, 10, tzinfo=datetime.UTC)
_HOUR, _DAY = datetime.timedelta(hours=1), datetime.timedelta(days=1)
# Two days of April and the end of March are past their time.
_SETTINGS = config.Config(detail_days=2)
_SEALED_BEFORE = datetime.datetime(2026, 3, 30, tzinfo=datetime.UTC)
_KEPT_FROM = datetime.datetime(2026, 4, 3, tzinfo=datetime.UTC)
_ROLLED_BEFORE = _NOW - 5 * _HOUR
_MOST_STATEMENTS = 200
_INSERT = """
INSERT INTO geolocation_data (student_id, "timestamp", device_id, latitude, longitude, received_at)
VALUES ($1, $2, $3, $4, $5, $2)
"""

Jobs = Callable[[db.DirectConnection], object]


def _fixes(*ages: datetime.timedelta) -> list[recount.Fix]:
    return [
        recount.Fix(student, _NOW - age, 7, 52.5, 13.4 + student / 100)
        for age in ages
        for student in (1, 2)
    ]


# Rolled up by the run before; then late; then in hours that are over by now.
_EARLY = _fixes(6 * _DAY, 5 * _DAY, 4 * _DAY, 3 * _DAY, 26 * _HOUR)
_LATE = _fixes(5 * _DAY + _HOUR, 27 * _HOUR)
_NEW = _fixes(4 * _HOUR, 3 * _HOUR, 2 * _HOUR)


def _jobs(connection: db.DirectConnection) -> None:
    """A round."""
    partitions.run_once(connection, _SETTINGS, _NOW)
    rollups.run_once(connection, _SETTINGS, _NOW)
    retention.run_once(connection, _SETTINGS, _NOW)


def _hasty(connection: db.DirectConnection) -> None:
    """The same by a roller that says how far it is before it is there."""
    over = _NOW.replace(minute=0)
    rolled_to = db.one(connection.execute("SELECT rolled_to FROM rollup_state"))["rolled_to"]
    connection.execute("UPDATE rollup_state SET watermark = $1, rolled_to = $1", [over])
    if rolled_to < over:
        rollups.backfill(connection, _SETTINGS, start=rolled_to, end=over)
    _jobs(connection)


def _prepare(database: conftest.Database) -> None:
    database.query("TRUNCATE geolocation_data, geolocation_hourly, geolocation_daily, rollup_dirty")
    database.query(
        "UPDATE rollup_state SET watermark = $1, rolled_to = $1, closed_to = $1, sealed_to = $1",
        _SEALED_BEFORE,
    )
    with db.direct(database.url) as connection:
        partitions.ensure(connection, detail_days=30, now=_NOW)
        _store(connection, _EARLY)
        rollups.run_once(connection, _SETTINGS, _ROLLED_BEFORE)
        _store(connection, [*_LATE, *_NEW])


def _store(connection: db.DirectConnection, fixes: list[recount.Fix]) -> None:
    for fix in fixes:
        connection.execute(_INSERT, list(fix[:5]))


def _is_right(database: conftest.Database) -> bool:
    """Whether the rollups are what all pings come to, and only what is past its time has gone."""
    fixes = [*_EARLY, *_LATE, *_NEW]
    try:
        recount.check(database, fixes, {})
    except AssertionError:
        return False
    kept = database.query('SELECT student_id, "timestamp" FROM geolocation_data ORDER BY 1, 2')
    wanted = sorted((fix.student_id, fix.timestamp) for fix in fixes if fix.timestamp >= _KEPT_FROM)
    months = database.query("SELECT to_regclass('geolocation_data_y2026m03') IS NULL")
    return kept == wanted and months == [(True,)]


def _harmful(database: conftest.Database, jobs: Jobs) -> int | None:
    """Before which statement a kill does harm that the next run does not mend."""
    for number in range(_MOST_STATEMENTS):
        _prepare(database)
        try:
            with db.direct(database.url) as dying:
                dying.cursor_factory = killed.dies_at(number, database)
                jobs(dying)
        except psycopg.OperationalError:
            pass
        else:
            # It came to its end before.
            assert number > 20
            assert _is_right(database)
            return None
        with db.direct(database.url) as connection:
            jobs(connection)
        if not _is_right(database):
            return number
    raise AssertionError("it never comes to its end")


@pytest.mark.parametrize(("jobs", "is_harmful"), [(_jobs, False), (_hasty, True)])
def test_killed_before_any_statement_the_next_run_completes(
    database: conftest.Database, jobs: Jobs, is_harmful: bool
) -> None:
    """And a roller that says what it has not done yet is found out."""
    assert (_harmful(database, jobs) is not None) == is_harmful
