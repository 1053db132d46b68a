"""Months come and go while a long question holds the table and phones post: no ping waits for either."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import datetime
import time
from collections.abc import AsyncIterator, Callable

import psycopg
from psycopg import sql

from geoingest import config, db
from geoingest.access import provision
from geoingest.lifecycle import partitions, removal
from tests import conftest

NOW = datetime.datetime.now(datetime.UTC)
LATER = NOW + datetime.timedelta(days=35)
SETTINGS = config.Config(detail_days=90)
READ_SECONDS = 5
# The promise is 100 ms for 99 of 100; this is for a busy machine, and far below what a lock would cost.
MOST_SECONDS = 2.0

Upkeep = Callable[[db.DirectConnection], None]


class _Phones:
    """One ping after the other from each; what was answered, and the longest wait for it."""

    def __init__(self, running: conftest.Running) -> None:
        self._client = running.client
        self.codes: collections.Counter[int] = collections.Counter()
        self.longest_seconds = 0.0

    @contextlib.asynccontextmanager
    async def posting(self, school: list[provision.Enrolled]) -> AsyncIterator[None]:
        """For as long as the block lasts, which begins with the first answers."""
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for student in school:
                group.create_task(self._run(student, stop))
            try:
                await conftest.until(lambda: self.codes.total() > len(school))
                yield
            finally:
                stop.set()

    async def _run(self, student: provision.Enrolled, stop: asyncio.Event) -> None:
        headers = {"Authorization": f"Bearer {student.device_token}"}
        while not stop.is_set():
            timestamp = datetime.datetime.now(datetime.UTC).isoformat()
            ping = {"timestamp": timestamp, "latitude": 52.5, "longitude": 13.4}
            started = time.monotonic()
            async with self._client.post("/v1/pings", json=ping, headers=headers) as got:
                await got.read()
            self.codes[got.status] += 1
            self.longest_seconds = max(self.longest_seconds, time.monotonic() - started)
            await asyncio.sleep(0.02)


def _with_care(connection: db.DirectConnection) -> None:
    """What the jobs do with months."""
    assert partitions.run_once(connection, SETTINGS, LATER).made
    removal.drop(connection, partitions.name(partitions.attached(connection)[0]))


def _by_the_book(connection: db.DirectConnection) -> None:
    """What a manual shows first."""
    connection.execute("SET lock_timeout = 0")
    oldest = partitions.name(partitions.attached(connection)[0])
    connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(oldest)))
    connection.execute(
        "CREATE TABLE geolocation_data_y2001m01 PARTITION OF geolocation_data"
        " FOR VALUES FROM ('2001-01-01 00:00:00+00') TO ('2001-02-01 00:00:00+00')"
    )


def _read(reader: psycopg.Connection) -> None:
    reader.execute("SELECT count(*), pg_sleep(%s) FROM geolocation_data", [READ_SECONDS])


async def _phones_during(
    database: conftest.Database,
    running: conftest.Running,
    school: list[provision.Enrolled],
    upkeep: Upkeep,
) -> _Phones:
    """What phones were answered while months came and went beside a question of five seconds."""
    phones = _Phones(running)
    await running.service.credentials.refresh()
    with (
        psycopg.connect(database.url, autocommit=True) as reader,
        db.direct(database.url) as connection,
    ):
        async with phones.posting(school):
            reading = asyncio.create_task(asyncio.to_thread(_read, reader))
            await conftest.until(lambda: reader.info.transaction_status.name == "ACTIVE")
            await asyncio.to_thread(upkeep, connection)
            assert reading.done()
            await reading
    return phones


async def test_no_ping_waits_for_a_month(
    database: conftest.Database, running: conftest.Running, school: list[provision.Enrolled]
) -> None:
    """A month is made and one is dropped: every ping has its 200, and soon."""
    phones = await _phones_during(database, running, school, _with_care)

    assert set(phones.codes) == {200}
    assert phones.longest_seconds < MOST_SECONDS


async def test_the_check_finds_what_the_manual_shows_first(
    database: conftest.Database, running: conftest.Running, school: list[provision.Enrolled]
) -> None:
    """DROP TABLE and CREATE .. PARTITION OF wait for the reader, and every ping behind them."""
    phones = await _phones_during(database, running, school, _by_the_book)

    assert phones.longest_seconds > MOST_SECONDS
