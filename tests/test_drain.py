"""SIGTERM: what was read is answered, nobody new is let in, and the process ends in time.

One process or two workers: all of it holds for both.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence

import aiohttp
import psycopg
import pytest

from geoingest.access import provision
from tests import conftest, processes, senders
from tests.oracle import judge, told

# The promise.
EXIT_SECONDS = 10.0

pytestmark = pytest.mark.parametrize("workers", ["1", "2"])


@contextlib.contextmanager
def _locked(database: conftest.Database) -> Iterator[Callable[[], None]]:
    """No write gets through until the block calls what it is given, or ends."""
    with psycopg.connect(database.admin_url) as connection:
        connection.execute("LOCK TABLE geolocation_data IN ACCESS EXCLUSIVE MODE")
        yield connection.rollback


@contextlib.asynccontextmanager
async def _waiting(
    service: processes.Service, school: Sequence[provision.Enrolled], log: told.Log
) -> AsyncIterator[None]:
    """A request of each phone has been read and is not answered yet when the block begins."""
    async with aiohttp.ClientSession(service.url) as session, asyncio.TaskGroup() as group:
        for student in school:
            group.create_task(senders.Sender(student, log, sizes=(1,)).post(session))
        async with asyncio.timeout(processes.START_SECONDS):
            while (await service.metrics())["geoingest_queue_pings"] < len(school):
                await asyncio.sleep(0.01)
        yield


def _listens(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


async def test_what_was_read_is_answered_after_the_commit(
    database: conftest.Database, school: list[provision.Enrolled], workers: str
) -> None:
    """Requests that wait for the database at SIGTERM get their 200; a new caller finds no socket."""
    log = told.Log()

    async with processes.serving(database, GEOINGEST_WORKERS=workers) as service:
        with _locked(database) as unlock:
            async with _waiting(service, school, log):
                service.terminate()
                await conftest.until(lambda: not _listens(service.port))
                answers_before = len(log.answers)
                unlock()
        code = await service.ended(seconds=EXIT_SECONDS)

    assert (answers_before, log.count(200)) == (0, len(school))
    assert code == 0
    judge.check(log, database)


async def test_a_hanging_database_does_not_hold_the_exit(
    database: conftest.Database, school: list[provision.Enrolled], workers: str
) -> None:
    """With no commit in sight, all that was read gets 503, a half-sent body nothing, and it ends."""
    log = told.Log()
    half = b"POST /v1/pings HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\nAuthorization: Bearer %s\r\n\r\n["

    async with processes.serving(database, GEOINGEST_WORKERS=workers) as service:
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
        writer.write(half % school[0].device_token.encode())
        with _locked(database):
            async with _waiting(service, school, log):
                service.terminate()
                terminated_at = time.monotonic()
            code = await service.ended(seconds=EXIT_SECONDS)
            took_seconds = time.monotonic() - terminated_at
        rest = await reader.read()
        writer.close()

    assert (code, rest) == (0, b"")
    assert took_seconds < EXIT_SECONDS
    assert log.count(503) == len(log.answers) == len(school)


async def test_under_load_every_request_gets_an_answer(
    database: conftest.Database, school: list[provision.Enrolled], workers: str
) -> None:
    """Phones that post without a pause are told to close; none finds its request cut off."""
    log = told.Log()

    async with processes.serving(database, GEOINGEST_WORKERS=workers) as service:
        async with asyncio.TaskGroup() as group:
            for student in school:
                group.create_task(_post_until_closed(service.url, senders.Sender(student, log)))
            await conftest.until(lambda: log.count(200) >= 20 * len(school), seconds=30)
            service.terminate()
        code = await service.ended(seconds=EXIT_SECONDS)

    assert code == 0
    assert log.cut == 0
    judge.check(log, database)


async def _post_until_closed(url: str, phone: senders.Sender) -> None:
    async with aiohttp.ClientSession(url) as session:
        answer = await phone.post(session)
        while answer is not None and not answer.closes:
            answer = await phone.post(session)
