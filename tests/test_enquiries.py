"""Many questions of one moment are one query, and whatever becomes of one the others are answered."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import psycopg
import pytest

from geoingest import connections, db, errors
from geoingest.access import enquiries, provision, tokens
from tests import conftest

QUERY = "bearers_by_token"


class _Counting:
    """A pool that counts how often it was asked for a connection."""

    def __init__(self, pool: db.Pool) -> None:
        self._pool = pool
        self.asked = 0

    def acquire(self, *, timeout: float) -> object:  # the driver's own
        self.asked += 1
        return self._pool.acquire(timeout=timeout)


@pytest.fixture
async def pool(database: conftest.Database) -> AsyncIterator[_Counting]:
    """The primary's."""
    made = await connections.primary_pool(database.url, size=2, timeout_seconds=5)
    yield _Counting(made)
    made.terminate()


def _of(pool: _Counting) -> enquiries.Enquiries[bytes]:
    return enquiries.Enquiries(pool, QUERY)  # type: ignore[arg-type]  # a fake around the real one


async def test_guesses_of_one_moment_are_one_query(
    pool: _Counting, school: list[provision.Enrolled]
) -> None:
    """Three hundred guesses and ten that are known: two queries, and each learns its own."""
    of = _of(pool)
    known = [tokens.digest(one.viewer_token) for one in school]
    first = asyncio.create_task(of.ask(known[0]))
    await conftest.until(lambda: pool.asked == 1)

    guesses = [of.ask(tokens.digest(f"guess {one}")) for one in range(300)]
    rows = await asyncio.gather(*(of.ask(one) for one in known), *guesses)

    assert pool.asked == 2
    assert (await first)["key"] == known[0]  # type: ignore[index]  # it is known
    assert [row and row["key"] for row in rows] == [*known, *[None] * 300]


async def test_who_is_cancelled_is_missed_by_nobody(
    database: conftest.Database, pool: _Counting, school: list[provision.Enrolled]
) -> None:
    """The one that asks for all hangs up in the middle: the next asks for them."""
    of = _of(pool)
    digest = tokens.digest(school[0].viewer_token)
    with psycopg.connect(database.url) as blocking:
        blocking.execute("LOCK TABLE viewers IN ACCESS EXCLUSIVE MODE")
        first = asyncio.create_task(of.ask(digest))
        second = asyncio.create_task(of.ask(digest))
        await conftest.until(lambda: _is_waiting(database))
        first.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await first
    row = await second

    assert row is not None
    assert pool.asked == 2


async def test_while_the_primary_is_away_all_are_told_at_once(
    database: conftest.Database, pool: _Counting
) -> None:
    """One attempt for all that have gathered, and the next question tries again."""
    of = _of(pool)
    with psycopg.connect(database.url) as blocking:
        blocking.execute("LOCK TABLE viewers IN ACCESS EXCLUSIVE MODE")
        first = asyncio.create_task(of.ask(b"first"))
        await conftest.until(lambda: _is_waiting(database))
        behind = [asyncio.create_task(of.ask(bytes([one]))) for one in range(50)]
        await asyncio.sleep(0)
        pool._pool.terminate()
        told = await asyncio.gather(first, *behind, return_exceptions=True)

    assert {type(one) for one in told} == {errors.DatabaseUnavailableError}
    assert pool.asked == 2
    with pytest.raises(errors.DatabaseUnavailableError):
        await of.ask(b"")


async def test_what_gathers_is_bounded(
    database: conftest.Database, pool: _Counting, school: list[provision.Enrolled]
) -> None:
    """While a query hangs a thousand gather, and the next is refused; all that were taken are answered."""
    of = _of(pool)
    with psycopg.connect(database.url) as blocking:
        blocking.execute("LOCK TABLE viewers IN ACCESS EXCLUSIVE MODE")
        first = asyncio.create_task(of.ask(b"first"))
        await conftest.until(lambda: _is_waiting(database))
        gathered = [asyncio.create_task(of.ask(b"%d" % one)) for one in range(enquiries.MOST_ASKED)]
        await asyncio.sleep(0)
        with pytest.raises(errors.OverloadedError):
            await of.ask(b"one too many")

    assert await asyncio.gather(first, *gathered) == [None] * (1 + enquiries.MOST_ASKED)


def _is_waiting(database: conftest.Database) -> bool:
    query = "SELECT count(*) FROM pg_locks WHERE relation = 'viewers'::regclass AND NOT granted"
    return database.query(query) == [(1,)]
