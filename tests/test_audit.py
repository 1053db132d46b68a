"""Look-ups are recorded many at once, and whatever goes wrong every question learns of it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator

import asyncpg
import psycopg
import pytest

from geoingest import connections, db, errors, lookup, metrics
from geoingest.access import audit, ledger
from geoingest.bearer import Bearer
from geoingest.local import roles
from tests import conftest

TIMEOUT_SECONDS = 1.0
BEARER = Bearer(1)


class _Lane:
    """An audit at work, and the connections that it has had."""

    def __init__(self, database: conftest.Database) -> None:
        self._url = conftest.as_role(database.url, roles.INGEST)
        self.pids: list[int] = []
        self.is_away = False
        self.audit = audit.Audit(self._connect, ledger.write_rows, timeout_seconds=TIMEOUT_SECONDS)

    async def _connect(self) -> asyncpg.Connection[db.Record]:
        if self.is_away:
            raise ConnectionRefusedError
        connection = await connections.connect(self._url)
        self.pids.append(connection.get_server_pid())
        return connection

    async def look(self, student_id: int, *, students: int = 1) -> None:
        """Records that viewer 1 looked at as many students, from this one on."""
        rows = dict.fromkeys(range(student_id, student_id + students), 1)
        await self.audit.record(lookup.Lookup(BEARER, "location", None, None, rows))


@pytest.fixture
async def lane(database: conftest.Database) -> AsyncIterator[_Lane]:
    """One that is connected, where viewer 1 sees whoever is looked for."""
    database.query("INSERT INTO viewers (viewer_id, sees_all) VALUES (1, TRUE)")
    database.query("INSERT INTO students SELECT generate_series(1, 20000)")
    made = _Lane(database)
    task = asyncio.create_task(made.audit.run())
    await conftest.until(lambda: made.audit.is_open)
    yield made
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


@contextlib.contextmanager
def _blocked(database: conftest.Database) -> Iterator[None]:
    """Whatever is written meanwhile waits."""
    with psycopg.connect(database.url) as connection:
        connection.execute("LOCK TABLE lookups IN EXCLUSIVE MODE")
        yield


def _students(database: conftest.Database) -> list[object]:
    return [row[0] for row in database.query("SELECT student_id FROM lookups ORDER BY 1")]


def _commits(database: conftest.Database) -> object:
    return database.query("SELECT count(DISTINCT xmin::text) FROM lookups")[0][0]


def _unrecorded(reason: str) -> float:
    return float(metrics.lookups_unrecorded.labels(reason)._value.get())


async def test_many_at_once_are_few_transactions(database: conftest.Database, lane: _Lane) -> None:
    """Five hundred questions of one moment are recorded by one statement; a single one waits for nobody."""
    before = metrics.lookups_recorded._value.get()
    await asyncio.gather(*(lane.look(one) for one in range(1, 501)))
    commits = _commits(database)
    await lane.look(501)

    assert _students(database) == list(range(1, 502))
    assert commits == 1
    assert _commits(database) == 2
    assert metrics.lookups_recorded._value.get() - before == 501


async def test_nobody_is_answered_before_the_commit(
    database: conftest.Database, lane: _Lane
) -> None:
    """While the write waits the question does, and with it those that came later."""
    with _blocked(database):
        asked = [asyncio.create_task(lane.look(one)) for one in (1, 2)]
        done, _ = await asyncio.wait(asked, timeout=TIMEOUT_SECONDS / 4)
        assert not done
    await asyncio.gather(*asked)

    assert _students(database) == [1, 2]


async def test_a_full_queue_refuses_at_once(database: conftest.Database, lane: _Lane) -> None:
    """What waits is bounded; the refused are counted, and all that were taken are recorded."""
    refused_before = _unrecorded("overloaded")
    with _blocked(database):
        first = asyncio.create_task(lane.look(20_000))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        asked = [
            asyncio.create_task(lane.look(1 + one * 1000, students=1000))
            for one in range(audit.MOST_WAITING // 1000)
        ]
        await asyncio.sleep(0)
        started = time.monotonic()
        with pytest.raises(errors.OverloadedError):
            await lane.look(10**6, students=7)
        took_seconds = time.monotonic() - started
    await asyncio.gather(first, *asked)

    assert took_seconds < TIMEOUT_SECONDS / 4
    assert _unrecorded("overloaded") - refused_before == 7
    assert _students(database) == [*range(1, audit.MOST_WAITING + 1), 20_000]


async def test_a_connection_lost_while_idle_is_renewed_before_it_is_needed(
    database: conftest.Database, lane: _Lane
) -> None:
    """No question learns of it."""
    await lane.look(1)

    database.administer("SELECT pg_terminate_backend($1, 5000)", lane.pids[0])
    await conftest.until(lambda: len(lane.pids) == 2)
    await lane.look(2)

    assert _students(database) == [1, 2]


async def test_a_connection_lost_while_writing_is_an_unknown_outcome(
    database: conftest.Database, lane: _Lane
) -> None:
    """Those of the batch are refused, those behind it are recorded on the next connection."""
    with _blocked(database):
        first = asyncio.create_task(lane.look(1))
        await conftest.until(lambda: _is_waiting(database))
        second = asyncio.create_task(lane.look(2))
        await asyncio.sleep(0)
        database.administer("SELECT pg_terminate_backend($1, 5000)", lane.pids[0])
        with pytest.raises(errors.NotRecordedError):
            await first
    await second

    assert _students(database) == [2]
    assert len(lane.pids) == 2


def _is_waiting(database: conftest.Database) -> bool:
    query = "SELECT count(*) FROM pg_locks WHERE relation = 'lookups'::regclass AND NOT granted"
    return database.query(query) == [(1,)]


async def test_a_write_that_takes_too_long_is_given_up(
    database: conftest.Database, lane: _Lane
) -> None:
    """Refused within its limit, and the server is told, so that it does not write later."""
    with _blocked(database):
        started = time.monotonic()
        with pytest.raises(errors.NotRecordedError):
            await lane.look(1)
        took_seconds = time.monotonic() - started
        await conftest.until(lambda: not _is_waiting(database))
    await lane.look(2)

    assert TIMEOUT_SECONDS <= took_seconds < TIMEOUT_SECONDS + 1
    assert _students(database) == [2]


async def test_without_a_connection_all_are_refused_until_there_is_one(
    database: conftest.Database, lane: _Lane
) -> None:
    """Those that wait are, within a second; later ones at once; then it goes on by itself."""
    refused_before = _unrecorded("database_unavailable")
    lane.is_away = True
    database.administer("SELECT pg_terminate_backend($1, 5000)", lane.pids[0])
    # So that the loss is seen before the question comes.
    await asyncio.sleep(0.05)

    started = time.monotonic()
    with pytest.raises(errors.DatabaseUnavailableError):
        await lane.look(1)
    first_seconds = time.monotonic() - started
    started = time.monotonic()
    with pytest.raises(errors.DatabaseUnavailableError):
        await lane.look(2)
    later_seconds = time.monotonic() - started
    lane.is_away = False
    await conftest.until(lambda: lane.audit.is_open)
    await lane.look(3)

    assert first_seconds < 1.0
    assert later_seconds < 0.1
    assert _unrecorded("database_unavailable") - refused_before == 2
    assert _students(database) == [3]


async def test_who_hangs_up_takes_no_other_along(database: conftest.Database, lane: _Lane) -> None:
    """A question that is cancelled while it waits is recorded with the others, and nobody is hurt."""
    with _blocked(database):
        asked = [asyncio.create_task(lane.look(one)) for one in (1, 2, 3)]
        await asyncio.sleep(0.05)
        asked[1].cancel()
        await asyncio.sleep(0)
    await asyncio.gather(asked[0], asked[2])

    assert asked[1].cancelled()
    assert _students(database) == [1, 2, 3]


async def test_a_lane_that_ends_leaves_nobody_waiting(database: conftest.Database) -> None:
    """Cancelled in the middle of a write, it refuses the batch and all behind it."""
    lane = _Lane(database)
    task = asyncio.create_task(lane.audit.run())
    await conftest.until(lambda: lane.audit.is_open)
    with _blocked(database):
        first = asyncio.create_task(lane.look(1))
        await conftest.until(lambda: _is_waiting(database))
        second = asyncio.create_task(lane.look(2))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(errors.NotRecordedError):
            await first
        with pytest.raises(errors.DatabaseUnavailableError):
            await second
        with pytest.raises(errors.DatabaseUnavailableError):
            await lane.look(3)

    assert task.cancelled()
