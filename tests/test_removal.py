"""Months leave for good: whatever kills the run that drops one, the next run leaves no trace of it."""

from __future__ import annotations

import concurrent.futures
import datetime
import time
from collections.abc import Callable, Iterator

import psycopg
import pytest
from psycopg import sql

from geoingest import config, db
from geoingest.lifecycle import partitions, removal
from tests import conftest, killed

NOW = datetime.datetime.now(datetime.UTC)
# When there is a month to make as well as months to drop.
LATER = NOW + datetime.timedelta(days=35)
SETTINGS = config.Config(detail_days=90)
_MOST_STATEMENTS = 200
_PATIENCE_SECONDS = 10.0

Upkeep = Callable[[db.DirectConnection], object]


def _upkeep(connection: db.DirectConnection) -> None:
    """What the jobs do with months."""
    partitions.run_once(connection, SETTINGS, LATER)
    for name in _expired(connection):
        removal.drop(connection, name)


def _careless(connection: db.DirectConnection) -> None:
    """The same without a word about what is going on."""
    partitions.ensure(connection, detail_days=SETTINGS.detail_days, now=LATER)
    for name in _expired(connection):
        table = sql.Identifier(name)
        detach = "ALTER TABLE geolocation_data DETACH PARTITION {} CONCURRENTLY"
        connection.execute(sql.SQL(detach).format(table))
        connection.execute(sql.SQL("DROP TABLE {}").format(table))


def _expired(connection: db.DirectConnection) -> list[str]:
    horizon = LATER - datetime.timedelta(days=SETTINGS.detail_days)
    months = partitions.attached(connection)
    return [partitions.name(month) for month in months if partitions.bounds(month)[1] <= horizon]


@pytest.fixture
def connection(database: conftest.Database) -> Iterator[db.DirectConnection]:
    """A job's connection to a database with months to drop and a month to make."""
    with db.direct(database.url) as one:
        partitions.ensure(one, detail_days=150, now=NOW)
        yield one


def _prepare(connection: db.DirectConnection) -> None:
    """Where the run before has come to its end, there is all to do again."""
    for month in partitions.attached(connection)[-2:]:
        connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(partitions.name(month))))
    partitions.ensure(connection, detail_days=150, now=NOW)


def _tables(database: conftest.Database) -> dict[object, object]:
    """Every table that bears a month's name, and whether it is a partition that takes pings."""
    found = database.query(
        "SELECT relname, inhrelid IS NOT NULL AND NOT inhdetachpending FROM pg_class"
        " LEFT JOIN pg_inherits ON inhrelid = pg_class.oid"
        " WHERE relkind = 'r' AND relname LIKE 'geolocation_data_y%'"
    )
    return dict(found)  # type: ignore[arg-type]  # two columns


def _as_wanted() -> dict[object, object]:
    return {partitions.name(month): True for month in partitions.wanted(LATER, detail_days=90)}


def _harmful(database: conftest.Database, upkeep: Upkeep) -> int | None:
    """Before which statement a kill leaves something that the next run does not put right."""
    for number in range(_MOST_STATEMENTS):
        with db.direct(database.url) as connection:
            _prepare(connection)
        try:
            with db.direct(database.url) as dying:
                dying.cursor_factory = killed.dies_at(number, database)
                upkeep(dying)
        except psycopg.OperationalError:
            pass
        else:
            # It came to its end before.
            assert number > 10
            return None
        with db.direct(database.url) as connection:
            upkeep(connection)
        if _tables(database) != _as_wanted():
            return number
    raise AssertionError("it never comes to its end")


def test_killed_before_any_statement_the_next_run_completes(
    database: conftest.Database, connection: db.DirectConnection
) -> None:
    """No orphan, nothing half detached, all months of the window and three ahead."""
    assert _harmful(database, _upkeep) is None


def test_the_check_finds_a_run_that_forgets(
    database: conftest.Database, connection: db.DirectConnection
) -> None:
    """Without the mark, what was detached and not dropped is nobody's for ever."""
    assert _harmful(database, _careless) is not None


def _is_pending(database: conftest.Database) -> bool:
    query = "SELECT count(*) FROM pg_inherits WHERE inhdetachpending"
    return database.query(query) == [(1,)]


def _leave_pending(database: conftest.Database, detach: Upkeep) -> None:
    """Kills the backend while its DETACH CONCURRENTLY waits for a reader."""
    with (
        concurrent.futures.ThreadPoolExecutor(1) as threads,
        psycopg.connect(database.url) as reader,
        db.direct(database.url) as dying,
    ):
        reader.execute("SELECT count(*) FROM geolocation_data")
        detaching = threads.submit(detach, dying)
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not _is_pending(database):
            assert time.monotonic() < deadline
        killed.terminate(database, dying.info.backend_pid)
        with pytest.raises(psycopg.OperationalError):
            detaching.result(timeout=_PATIENCE_SECONDS)
    assert _is_pending(database)


def test_killed_while_a_reader_is_waited_for_the_next_run_completes(
    database: conftest.Database, connection: db.DirectConnection
) -> None:
    """A detach that is pending is made final, and its table goes."""
    _leave_pending(database, _upkeep)

    _upkeep(connection)

    assert _tables(database) == _as_wanted()


def test_a_forgotten_detach_blocks_a_careless_run(
    database: conftest.Database, connection: db.DirectConnection
) -> None:
    """The check finds it: as long as one detach is pending, none can follow."""
    _leave_pending(database, _careless)

    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
        _careless(connection)

    assert _tables(database) != _as_wanted()


def test_a_reader_who_stays_delays_old_months_only(
    database: conftest.Database, connection: db.DirectConnection
) -> None:
    """What is pending stays so, said by an error; the months ahead are made all the same."""
    _leave_pending(database, _upkeep)
    connection.execute("SET lock_timeout = '50ms'")
    with psycopg.connect(database.url) as reader:
        (old,) = (name for name, is_attached in _tables(database).items() if not is_attached)
        reader.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(str(old))))

        with pytest.raises(psycopg.errors.LockNotAvailable):
            partitions.run_once(connection, SETTINGS, LATER)

        assert set(_as_wanted()) < set(_tables(database))
    assert _is_pending(database)


def test_a_detach_that_somebody_else_began_is_made_final_and_the_table_stays(
    database: conftest.Database, connection: db.DirectConnection
) -> None:
    """An operator's month, kept by hand: it is in nobody's way, and it is not ours to drop."""
    kept = _expired(connection)[0]
    detach = sql.SQL("ALTER TABLE geolocation_data DETACH PARTITION {} CONCURRENTLY")
    _leave_pending(database, lambda one: one.execute(detach.format(sql.Identifier(kept))))

    _upkeep(connection)

    assert _tables(database) == {**_as_wanted(), kept: False}


def test_a_copy_of_a_month_that_was_to_go_is_not_dropped(
    database: conftest.Database, connection: db.DirectConnection
) -> None:
    """Restored from a dump with the mark of its original: the number in it is not its own."""
    mark = "geoingest drops table 16384"
    connection.execute("CREATE TABLE geolocation_data_y2020m01 (LIKE geolocation_data)")
    comment = sql.SQL("COMMENT ON TABLE geolocation_data_y2020m01 IS {}")
    connection.execute(comment.format(mark))

    _upkeep(connection)

    assert _tables(database) == {**_as_wanted(), "geolocation_data_y2020m01": False}


def test_a_month_that_is_gone_is_no_error(connection: db.DirectConnection) -> None:
    """A run that has decided before another finished the work finds it done."""
    old = _expired(connection)[0]

    removal.drop(connection, old)
    removal.drop(connection, old)

    assert old not in map(partitions.name, partitions.attached(connection))


def test_a_wanted_month_that_was_detached_comes_back(
    database: conftest.Database, connection: db.DirectConnection
) -> None:
    """With its pings: a table that bears the month's name is the month."""
    name = partitions.name(NOW.date().replace(day=1))
    connection.execute(
        "INSERT INTO geolocation_data VALUES (1, now(), 7, 1, 2, NULL, NULL, NULL, NULL, NULL, now())"
    )
    connection.execute(
        sql.SQL("ALTER TABLE geolocation_data DETACH PARTITION {}").format(sql.Identifier(name))
    )

    kept = partitions.run_once(connection, SETTINGS, NOW)

    assert kept.made == [name]
    assert database.query("SELECT count(*) FROM geolocation_data") == [(1,)]
