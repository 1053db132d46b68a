"""Without a replica reads fall back to the primary, few at a time: however they fare, pings do not notice."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import pathlib
import time
from collections.abc import AsyncIterator

import psycopg
import pytest

from geoingest.access import credentials, provision
from tests import conftest, guardians, senders
from tests.oracle import told

READERS = 60
# Long enough for a list of tokens that is not refreshed to be trusted no more.
SECONDS = credentials.MAX_AGE_SECONDS + 3


@contextlib.asynccontextmanager
async def _flood(
    running: conftest.Running, student: provision.Enrolled
) -> AsyncIterator[collections.Counter[int]]:
    """Guardians who ask again at once whatever they were answered; how often they were answered what."""
    answered: collections.Counter[int] = collections.Counter()
    guardian = guardians.Guardian(running, student.viewer_token)

    async def ask() -> None:
        while True:
            path = f"/v1/students/{student.student_id}/track"
            answer = await guardian.ask(path, resolution="hour")
            assert (answer.status, "Retry-After" in answer.headers) in {(200, False), (503, True)}
            answered[answer.status] += 1

    tasks = [asyncio.create_task(ask()) for _ in range(READERS)]
    try:
        yield answered
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(one) for one in ended} == {asyncio.CancelledError}


@pytest.mark.faults
@pytest.mark.parametrize("is_apart", [True, False])
async def test_reads_that_hang_on_the_primary_cost_no_ping(
    database: conftest.Database,
    school: list[provision.Enrolled],
    start: conftest.Start,
    tmp_path: pathlib.Path,
    is_apart: bool,
) -> None:
    """Sixty at once wait for a lock; all but ten are refused. On the same connections nobody refreshes the tokens."""
    nowhere = f"postgresql://nobody@/nothing?host={tmp_path}"
    settings = database.settings(database_replica_url=nowhere, school_questions=READERS)
    running = await start(settings)
    log = told.Log()
    phone = senders.Sender(school[1], log)
    if not is_apart:
        running.service.replica._primary._slots = asyncio.Semaphore(READERS)
        running.service.credentials._pool = running.service.pools.reading

    with psycopg.connect(database.url) as other:
        other.execute("LOCK TABLE geolocation_hourly")
        async with (
            senders.session(str(running.client.make_url("/"))) as session,
            _flood(running, school[0]) as answered,
        ):
            end = time.monotonic() + SECONDS
            while time.monotonic() < end:
                await phone.post(session)
                await asyncio.sleep(0.02)

    assert answered[503] > READERS
    assert (log.count(503) == 0) == is_apart, log.said
