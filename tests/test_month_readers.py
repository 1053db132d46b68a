"""Months leave while guardians read them on the replica: replay cancels questions, and each is answered."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import datetime
import time
from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest

from geoingest import db
from geoingest.access import provision
from geoingest.lifecycle import partitions, removal
from geoingest.local import cluster
from tests import conftest, pairs, processes

NOW = datetime.datetime.now(datetime.UTC)
# Replay waits for no reader: whoever holds the month is cancelled.
SETTINGS = {**conftest.SERVER_SETTINGS, "max_standby_streaming_delay": "0"}
STUDENTS = 5
READERS = 10
# Of all readers together; a busy machine does less.
QUESTIONS_PER_SECOND = 50
ROUNDS = 3
# One guardian's question takes a third of a second, so that one is always being answered.
SLOW_ROWS = 300
SLOW = (
    "CREATE POLICY slow ON geolocation_seen AS RESTRICTIVE FOR SELECT"
    " USING (student_id > 1 OR pg_sleep(0.001) IS NOT NULL)"
)
_DETAIL_DAYS = 150
_PATIENCE_SECONDS = 30.0


@pytest.fixture(scope="module")
def pair() -> Iterator[pairs.Pair]:
    """A primary and its replica."""
    with pairs.running(SETTINGS) as made:
        made.query(cluster.PRIMARY_PORT, SLOW)
        yield made


@pytest.fixture(scope="module")
def school(pair: pairs.Pair) -> list[provision.Enrolled]:
    """Whom the guardians ask about."""
    return pairs.school(pair, STUDENTS)


class _Guardian:
    """Asks again and again for all that its student ever did."""

    def __init__(self, student: provision.Enrolled, codes: collections.Counter[int]) -> None:
        self._path = f"/v1/students/{student.student_id}/track"
        self._headers = {"Authorization": f"Bearer {student.viewer_token}"}
        self._codes = codes

    async def run(self, url: str) -> None:
        start = NOW - datetime.timedelta(days=_DETAIL_DAYS)
        window = {"from": start.isoformat(), "limit": str(SLOW_ROWS)}
        async with aiohttp.ClientSession(url) as session:
            while True:
                async with asyncio.TaskGroup() as group:
                    # The next one is due whether this one is answered yet or not.
                    group.create_task(asyncio.sleep(READERS / QUESTIONS_PER_SECOND))
                    async with session.get(self._path, params=window, headers=self._headers) as got:
                        await got.read()
                        self._codes[got.status] += 1


@contextlib.asynccontextmanager
async def _asking(
    url: str, school: list[provision.Enrolled], codes: collections.Counter[int]
) -> AsyncIterator[None]:
    tasks = [
        asyncio.create_task(_Guardian(school[number % STUDENTS], codes).run(url))
        for number in range(READERS)
    ]
    try:
        await conftest.until(lambda: codes.total() >= READERS, seconds=30)
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _fill(connection: db.DirectConnection) -> str:
    """The name of a month that is older than any ping a phone may send, full of them."""
    partitions.ensure(connection, detail_days=_DETAIL_DAYS, now=NOW)
    oldest = partitions.attached(connection)[0]
    connection.execute(
        'INSERT INTO geolocation_data (student_id, "timestamp", device_id, latitude, longitude,'
        " received_at) SELECT student, at, student, 52.5, 13.4, at FROM generate_series(1, $1) student,"
        " generate_series($2::timestamptz, $3::timestamptz - interval '1 minute', '3 minutes') at",
        [STUDENTS, *partitions.bounds(oldest)],
    )
    return partitions.name(oldest)


def _drop_under_readers(pair: pairs.Pair) -> None:
    """A month goes while a question is at it on the replica."""
    reading = "SELECT count(*) > 0 FROM pg_locks WHERE relation = to_regclass('{}')"
    deadline = time.monotonic() + _PATIENCE_SECONDS
    with db.direct(pair.servers.urls.owner) as connection:
        month = _fill(connection)
        while pair.query(cluster.REPLICA_PORT, reading.format(month)) != [(True,)]:
            assert time.monotonic() < deadline
        removal.drop(connection, month)


def _conflicts(pair: pairs.Pair) -> int:
    query = "SELECT sum(confl_lock)::integer FROM pg_stat_database_conflicts"
    ((count,),) = pair.query(cluster.REPLICA_PORT, query)
    return int(str(count))


async def _codes(
    pair: pairs.Pair, school: list[provision.Enrolled], module: str = "geoingest"
) -> collections.Counter[int]:
    """What guardians were answered while replay cancelled some of their questions."""
    urls = pair.servers.urls
    database = conftest.Database(urls.owner, urls.replica, "")
    codes: collections.Counter[int] = collections.Counter()
    before = _conflicts(pair)
    async with processes.serving(
        database, module=module, GEOINGEST_DETAIL_DAYS=str(_DETAIL_DAYS)
    ) as service:
        await service.says("reads go to the replica")
        async with _asking(service.url, school, codes):
            for _ in range(ROUNDS):
                await asyncio.to_thread(_drop_under_readers, pair)
    assert _conflicts(pair) > before
    return codes


async def test_no_question_is_lost_to_a_month_that_leaves(
    pair: pairs.Pair, school: list[provision.Enrolled]
) -> None:
    """50 a second, some of them cancelled on the replica: every one gets its 200."""
    codes = await _codes(pair, school)

    assert set(codes) == {200}


async def test_the_check_finds_a_service_that_asks_once(
    pair: pairs.Pair, school: list[provision.Enrolled]
) -> None:
    """The questions that replay cancelled come out as errors."""
    codes = await _codes(pair, school, "tests.broken.no_second_question")

    assert codes[500]
