"""A batch becomes committed rows on a real PostgreSQL, whatever happens on the way."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import asyncpg
import orjson
import psycopg
import pytest
from prometheus_client import REGISTRY
from typing_extensions import override

from geoingest import connections, db, errors, ping
from geoingest.ingest import content, decode, rows, submission, writer
from geoingest.local import roles
from tests import conftest, test_ping

Open = Callable[..., Awaitable[writer.Writer]]
_GOOD = [test_ping.encoded(number) for number in range(99)]
# Each stands for what a check of decode may have forgotten.
_WRONG: list[dict[str, Any]] = [
    {"battery": 101},
    {"latitude": 91.0},
    {"longitude": math.nan},
]


_LANES = (
    " FROM pg_stat_activity WHERE application_name = 'geoingest' AND datname = current_database()"
)


@pytest.fixture
async def open_writer(database: conftest.Database) -> AsyncIterator[Open]:
    """Makes connected writers and drops their connections after the test."""
    made: list[writer.Writer] = []

    async def connect() -> asyncpg.Connection[db.Record]:
        return await connections.connect(conftest.as_role(database.url, roles.INGEST))

    async def one(connect: writer.Connect = connect, *, seconds: float = 20) -> writer.Writer:
        made.append(writer.Writer(connect, timeout_seconds=seconds))
        await made[-1].connect()
        return made[-1]

    yield one
    for each in made:
        each.close()


async def test_a_batch_of_new_pings_goes_by_copy(
    open_writer: Open, database: conftest.Database
) -> None:
    """All requests of a batch are one COPY, and the outcome says that all are new."""
    lane = await open_writer()
    before = _written()

    outcome = await lane.write([_request(_GOOD[:50]), _request(_GOOD[50:])])

    assert outcome == submission.Outcome()
    assert _keys(database) == sorted(row[rows.KEY] for row in _GOOD)
    assert _ways_since(before) == {"copy": 1, "on_conflict": 0}


async def test_pings_stored_before_are_duplicates(
    open_writer: Open, database: conftest.Database
) -> None:
    """A COPY refused for one row already there goes again by ON CONFLICT, and nothing is altered."""
    lane = await open_writer()
    await lane.write([_request(_GOOD[:60])])

    outcome = await lane.write(
        [_request([test_ping.encoded(number, speed=9.0) for number in range(40, 99)])]
    )

    assert outcome.stored == {row[rows.KEY] for row in _GOOD[60:]}
    assert len(_keys(database)) == 99
    assert database.query("SELECT count(*) FROM geolocation_data WHERE speed = 9") == [(39,)]


async def test_after_duplicates_batches_go_by_on_conflict_until_one_has_none(
    open_writer: Open,
) -> None:
    """A refused COPY leaves dead rows behind: not tried again at once, nor avoided for ever."""
    lane = await open_writer()
    by_on_conflict = []
    for numbers in (range(2), range(1, 3), range(2, 4), range(4, 6), range(6, 8)):
        before = _written()
        await lane.write([_request([_GOOD[number] for number in numbers])])
        by_on_conflict.append(_ways_since(before)["on_conflict"])

    assert by_on_conflict == [0, 1, 1, 1, 0]


async def test_only_a_batch_that_committed_has_a_duration(open_writer: Open) -> None:
    """A refused COPY is no fast success in the histogram."""
    lane = await open_writer()
    await lane.write([_request(_GOOD)])
    before = _written()

    await lane.write([_request(_GOOD)])

    assert _ways_since(before) == {"copy": 0, "on_conflict": 1}


async def test_of_repeats_inside_a_batch_the_first_is_stored(
    open_writer: Open, database: conftest.Database
) -> None:
    """One key twice, in one request or in two, is one row: that of the earlier request."""
    lane = await open_writer()
    first, again = test_ping.encoded(1, speed=1.0), test_ping.encoded(1, speed=2.0)

    outcome = await lane.write([_request([first, again, test_ping.encoded(0)]), _request([again])])

    assert outcome.stored == {first[rows.KEY], test_ping.encoded(0)[rows.KEY]}
    assert database.query("SELECT speed FROM geolocation_data WHERE speed <> 1.5") == [(1.0,)]


async def test_rejected_pings_are_quarantined_with_their_neighbours(
    open_writer: Open, database: conftest.Database
) -> None:
    """Reason, first kilobyte, time and device are kept, in the transaction of the good pings."""
    lane = await open_writer()
    good = {"timestamp": test_ping.NOW, "latitude": 1, "longitude": 2}
    bad = {**good, "latitude": 91, "provider": "x" * 2000}
    decoded = decode.decode(
        orjson.dumps([good, bad]), lines=False, terms=test_ping.terms(), max_pings=2
    )

    await lane.write([_submission(decoded)])

    assert _rejected(database) == [("latitude_out_of_range", 7, orjson.dumps(bad)[:1024])]
    assert database.query(
        "SELECT rejected.xmin = row.xmin, rejected.received_at = row.received_at"
        " FROM rejected_pings AS rejected, geolocation_data AS row"
    ) == [(True, True)]


@pytest.mark.parametrize("wrong", _WRONG, ids=lambda wrong: next(iter(wrong)))
@pytest.mark.parametrize("has_duplicates", [False, True])
async def test_a_ping_that_no_column_takes_costs_only_itself(
    open_writer: Open,
    database: conftest.Database,
    caplog: pytest.LogCaptureFixture,
    wrong: dict[str, Any],
    has_duplicates: bool,
) -> None:
    """Halving finds the one among 100: 99 are stored, it is quarantined once, and no log shows it."""
    lane = await open_writer()
    if has_duplicates:
        await lane.write([_request(_GOOD[:1])])
        await lane.write([_request(_GOOD[:1])])
    odd = test_ping.encoded(99, device_id=8, **wrong)
    too_old = content.Rejected(0, "too_old", b"{}", 9, test_ping.NOW_US)

    outcome = await lane.write([_request([*_GOOD[:37], odd, *_GOOD[37:]], [too_old])])

    assert outcome.rejected == {odd[rows.KEY]: "unstorable"}
    assert outcome.stored == {row[rows.KEY] for row in _GOOD[has_duplicates:]}
    assert len(_keys(database)) == 99
    assert [row[:2] for row in _rejected(database)] == [("too_old", 9), ("unstorable", 8)]
    assert not any("52.520008" in str(vars(record)) for record in caplog.records)


async def test_a_ping_of_a_closed_day_is_too_old(
    open_writer: Open, database: conftest.Database
) -> None:
    """The door and the database need not agree on the minute: the phone hears the same reason."""
    lane = await open_writer()
    database.query(
        "UPDATE rollup_state SET closed_to = $1",
        ping.instant(test_ping.NOW_US - 99 * test_ping.SECOND_US),
    )
    old = test_ping.encoded(100)

    outcome = await lane.write([_request([*_GOOD[:2], old])])

    assert outcome.rejected == {old[rows.KEY]: "too_old"}
    assert [row[:2] for row in _rejected(database)] == [("too_old", 7)]
    assert len(_keys(database)) == 2


async def test_a_month_without_a_partition_is_no_fault_of_the_ping(
    open_writer: Open, database: conftest.Database
) -> None:
    """The batch fails and is kept by its senders; nothing is rejected for it."""
    lane = await open_writer()
    ahead = test_ping.encoded(0, timestamp_us=test_ping.NOW_US + 1000 * test_ping.DAY_US)

    for rejected in ([], [content.Rejected(0, "too_old", b"{}", 7, test_ping.NOW_US)]):
        with pytest.raises(errors.WriteFailedError):
            await lane.write([_request([*_GOOD, ahead], rejected)])

    assert (_keys(database), _rejected(database)) == ([], [])
    assert (await lane.write([_request(_GOOD)])) == submission.Outcome()


async def test_a_connection_ended_between_two_batches_is_renewed(
    open_writer: Open, database: conftest.Database
) -> None:
    """The batch that finds out is stored all the same, and its sender sees nothing of it."""
    lane = await open_writer()
    await lane.write([_request(_GOOD[:1])])
    assert _end_backends(database) == 1

    outcome = await lane.write([_request(_GOOD[1:])])

    assert outcome.stored == {row[rows.KEY] for row in _GOOD[1:]}
    assert lane.is_connected
    assert len(_keys(database)) == 99


async def test_a_connection_ended_in_the_middle_of_a_batch_is_renewed(
    open_writer: Open, database: conftest.Database
) -> None:
    """The batch goes again by ON CONFLICT on a new connection, with what was rejected."""
    lane = await open_writer()
    too_old = content.Rejected(0, "too_old", b"{}", 9, test_ping.NOW_US)
    with psycopg.connect(database.url) as other:
        other.execute("LOCK TABLE geolocation_data IN SHARE MODE")
        writing = asyncio.create_task(lane.write([_request(_GOOD, [too_old])]))
        await conftest.until(lambda: _waiting(database) == 1)
        assert _end_backends(database) == 1

    outcome = await writing

    assert outcome.stored == {row[rows.KEY] for row in _GOOD}
    assert len(_keys(database)) == 99
    assert len(_rejected(database)) == 1


async def test_a_lost_answer_is_not_a_lost_batch(
    open_writer: Open, database: conftest.Database
) -> None:
    """Committed, but the connection broke before it could say so: found by key, stored once."""

    class Forgetful(asyncpg.Connection):
        @override
        async def copy_to_table(self, *args: Any, **options: Any) -> str:
            await super().copy_to_table(*args, **options)
            raise ConnectionResetError

    lane = await open_writer(
        lambda: asyncpg.connect(database.url, connection_class=Forgetful, timeout=3)
    )

    outcome = await lane.write([_request(_GOOD)])

    assert outcome.stored == set()
    assert len(_keys(database)) == 99


async def test_a_server_that_takes_no_writes_any_more_is_left(
    open_writer: Open, database: conftest.Database
) -> None:
    """A demoted primary (25006) is not asked again and again on the same connection."""
    opened: list[asyncpg.Connection[db.Record]] = []

    async def connect() -> asyncpg.Connection[db.Record]:
        opened.append(await connections.connect(database.url))
        if len(opened) == 1:
            await opened[0].execute("SET default_transaction_read_only = on")
        return opened[-1]

    lane = await open_writer(connect)

    outcome = await lane.write([_request(_GOOD)])

    assert outcome.stored == {row[rows.KEY] for row in _GOOD}
    assert len(opened) == 2


@pytest.mark.parametrize("is_hanging", [False, True])
async def test_a_database_that_is_away_is_told_within_about_a_second(
    open_writer: Open, database: conftest.Database, is_hanging: bool
) -> None:
    """Whether it refuses or says nothing at all, no sender waits long."""
    opened: list[asyncpg.Connection[db.Record]] = []

    async def connect() -> asyncpg.Connection[db.Record]:
        if opened and is_hanging:
            await asyncio.Event().wait()
        if opened:
            raise ConnectionRefusedError
        opened.append(await connections.connect(database.url))
        return opened[0]

    lane = await open_writer(connect)
    _end_backends(database)

    async with asyncio.timeout(5):
        for _ in range(2):
            with pytest.raises(errors.WriteFailedError):
                await lane.write([_request(_GOOD)])

    assert not lane.is_connected


async def test_a_write_that_takes_too_long_is_given_up(
    open_writer: Open, database: conftest.Database
) -> None:
    """The outcome is unknown, so the senders are told to come again; the key makes that safe."""
    lane = await open_writer(seconds=0.3)
    with psycopg.connect(database.url) as other:
        other.execute("LOCK TABLE geolocation_data IN SHARE MODE")
        async with asyncio.timeout(10):
            with pytest.raises(errors.WriteFailedError):
                await lane.write([_request(_GOOD)])

    again = await open_writer()
    await again.write([_request(_GOOD)])

    assert len(_keys(database)) == 99


async def test_two_lanes_with_the_same_pings_never_wait_in_a_circle(
    open_writer: Open, database: conftest.Database
) -> None:
    """Two phones of one student may send the same pings in any order at once: no deadlock."""
    lanes = [await open_writer(), await open_writer()]
    deadlocks = _failures("transient")
    for round_number in range(12):
        pings = [test_ping.encoded(round_number * 400 + number) for number in range(400)]
        batches = [[_request(pings)], [_request(pings[::-1])]]

        outcomes = await asyncio.gather(
            *(lane.write(batch) for lane, batch in zip(lanes, batches, strict=True))
        )

        stored = [400 if one.stored is None else len(one.stored) for one in outcomes]
        assert sum(stored) == 400

    assert len(_keys(database)) == 12 * 400
    assert _failures("transient") == deadlocks


def _request(
    pings: Sequence[rows.Row], rejected: Sequence[content.Rejected] = ()
) -> submission.Submission:
    return _submission(content.Decoded(len(pings) + len(rejected), list(pings), rejected))


def _submission(decoded: content.Decoded) -> submission.Submission:
    future = asyncio.get_running_loop().create_future()
    return submission.Submission(decoded, future, size_bytes=1, queued_at=0.0)


def _keys(database: conftest.Database) -> list[rows.Key]:
    found: Any = database.query('SELECT student_id, "timestamp", device_id FROM geolocation_data')
    return sorted(rows.key(student, ping.instant_us(at), device) for student, at, device in found)


def _rejected(database: conftest.Database) -> list[tuple[object, ...]]:
    return database.query(
        "SELECT reason, device_id, raw FROM rejected_pings ORDER BY device_id DESC"
    )


def _end_backends(database: conftest.Database) -> object:
    ended = "SELECT count(pg_terminate_backend(pid))" + _LANES
    return database.administer(ended)[0][0]


def _waiting(database: conftest.Database) -> object:
    return database.administer("SELECT count(*)" + _LANES + " AND wait_event_type = 'Lock'")[0][0]


def _written() -> dict[str, float]:
    """Batches committed so far, by the way they went."""
    name = "geoingest_copy_duration_seconds_count"
    return {
        way: REGISTRY.get_sample_value(name, {"path": way}) or 0 for way in ("copy", "on_conflict")
    }


def _ways_since(before: dict[str, float]) -> dict[str, float]:
    return {way: count - before[way] for way, count in _written().items()}


def _failures(reason: str) -> float | None:
    return REGISTRY.get_sample_value("geoingest_copy_failures_total", {"reason": reason})
