"""Each fault of the proxy does on a real PostgreSQL what it says, and nothing when it is off."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import asyncpg
import pytest

from geoingest import connections, db
from tests import conftest, proxy

_LATENCY_SECONDS = 0.1
# Beyond what a busy machine needs for an answer that does come.
_PATIENCE_SECONDS = 0.5


@contextlib.asynccontextmanager
async def _connected(url: str) -> AsyncIterator[asyncpg.Connection[db.Record]]:
    connection = await connections.connect(url)
    try:
        yield connection
    finally:
        connection.terminate()


@pytest.fixture
async def between(database: conftest.Database) -> AsyncIterator[proxy.Proxy]:
    """A proxy to this test's database, which has a table of numbers."""
    database.query("CREATE TABLE numbers (number integer)")
    async with proxy.in_front_of(database.url) as one:
        yield one


async def _copy(connection: asyncpg.Connection[db.Record], *numbers: int) -> str:
    rows = [(number,) for number in numbers]
    return await connection.copy_records_to_table("numbers", records=rows)


def _numbers(database: conftest.Database) -> list[object]:
    found = database.query("SELECT number FROM numbers ORDER BY number")
    return [number for (number,) in found]


async def _insert(connection: asyncpg.Connection[db.Record], number: int) -> None:
    await connection.execute("INSERT INTO numbers VALUES ($1)", number)


async def test_without_a_fault_everything_goes_through(
    database: conftest.Database, between: proxy.Proxy
) -> None:
    """Copies, transactions, large values and errors arrive as if the proxy were not there."""
    async with _connected(between.url) as connection:
        await _copy(connection, *range(100_000))
        async with connection.transaction():
            await _insert(connection, -1)
        with pytest.raises(asyncpg.DivisionByZeroError):
            await connection.fetchval("SELECT 1 / 0")
        long = await connection.fetchval("SELECT repeat('x', 3000000)")

    assert _numbers(database) == list(range(-1, 100_000))
    assert len(long) == 3_000_000
    assert (between.counts.connections, between.counts.cut) == (1, 0)
    assert (between.counts.copies, between.counts.commits) == (1, 2)


async def test_latency_makes_every_answer_later(between: proxy.Proxy) -> None:
    """A question takes the latency there and the latency back."""
    async with _connected(between.url) as connection:
        between.latency_seconds = _LATENCY_SECONDS
        started = time.monotonic()
        await connection.execute("SELECT 1")
        took_seconds = time.monotonic() - started

    assert took_seconds >= 2 * _LATENCY_SECONDS


async def test_a_cut_answer_is_that_of_a_commit(
    database: conftest.Database, between: proxy.Proxy
) -> None:
    """The client sees its connection lost, and its rows are there: by COPY, INSERT or COMMIT."""
    between.cut_answers = 1

    async with _connected(between.url) as connection:
        with pytest.raises(db.DRIVER_ERRORS):
            await _copy(connection, 1, 2)
    async with _connected(between.url) as connection:
        with pytest.raises(db.DRIVER_ERRORS):
            await _insert(connection, 3)
    async with _connected(between.url) as connection:
        await connection.execute("BEGIN")
        copied = await _copy(connection, 4)
        with pytest.raises(db.DRIVER_ERRORS):
            await connection.execute("COMMIT")

    assert copied == "COPY 1"
    assert _numbers(database) == [1, 2, 3, 4]
    assert between.counts.answers_swallowed == between.counts.cut == 3


async def test_every_nth_answer_is_cut(between: proxy.Proxy) -> None:
    """The others arrive."""
    between.cut_answers = 3

    async with _connected(between.url) as connection:
        await _insert(connection, 1)
        await _insert(connection, 2)
        with pytest.raises(db.DRIVER_ERRORS):
            await _insert(connection, 3)

    assert (between.counts.commits, between.counts.answers_swallowed) == (3, 1)


async def test_a_cut_copy_is_rolled_back(database: conftest.Database, between: proxy.Proxy) -> None:
    """The rows were sent, the end of the copy was not: none of them is there."""
    between.cut_copies = 1

    async with _connected(between.url) as connection:
        with pytest.raises(db.DRIVER_ERRORS):
            await _copy(connection, 1, 2)
    between.cut_copies = 0
    async with _connected(between.url) as connection:
        await _copy(connection, 3)

    assert _numbers(database) == [3]
    assert (between.counts.copies, between.counts.copies_cut) == (2, 1)


async def test_cut_all_resets_every_connection_at_once(between: proxy.Proxy) -> None:
    """A question under way fails, an idle connection is closed, and the next caller gets in."""
    async with _connected(between.url) as busy, _connected(between.url) as idle:
        question = asyncio.create_task(busy.execute("SELECT pg_sleep(60)"))
        await asyncio.sleep(0)
        between.cut_all()
        with pytest.raises(db.DRIVER_ERRORS):
            await question
        await conftest.until(idle.is_closed)
    async with _connected(between.url) as connection:
        answer = await connection.fetchval("SELECT 1")

    assert (answer, between.counts.cut) == (1, 2)


async def test_a_black_hole_answers_nobody_and_ends(between: proxy.Proxy) -> None:
    """Questions and callers wait until it is lifted; they are cut then, and new callers get in."""
    async with _connected(between.url) as connection:
        with between.black_hole():
            caller = asyncio.create_task(connections.connect(between.url))
            question = asyncio.create_task(connection.execute("SELECT 1"))
            answered, _ = await asyncio.wait([caller, question], timeout=_PATIENCE_SECONDS)
        results = await asyncio.gather(caller, question, return_exceptions=True)
    async with _connected(between.url) as connection:
        answer = await connection.fetchval("SELECT 1")

    assert not answered
    assert all(isinstance(one, db.DRIVER_ERRORS) for one in results)
    assert between.counts.bytes_swallowed > 0
    assert answer == 1


async def test_cutting_goes_on_until_the_block_ends(between: proxy.Proxy) -> None:
    """Each new connection is cut in its turn; afterwards one stays."""
    async with between.cutting(every_seconds=0.1):
        while between.counts.cut < 3:
            # Also while it is being opened.
            with contextlib.suppress(*db.DRIVER_ERRORS):
                async with _connected(between.url) as connection:
                    await conftest.until(connection.is_closed)
    async with _connected(between.url) as connection:
        await asyncio.sleep(2 * 0.1)
        answer = await connection.fetchval("SELECT 1")

    assert answer == 1
