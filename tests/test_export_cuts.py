"""A file takes the memory of a page, and one that is cut never looks complete."""

from __future__ import annotations

import asyncio
import datetime
import socket
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from geoingest import db, errors, http
from geoingest.access import provision
from geoingest.tracking import cursor, export, formats, replica, shapes, track
from tests import conftest, guardians, processes, proxy, rollups

# More than what sockets hold between a service and a reader that has stopped to read.
MANY, FEW = 100_000, 10_000
PATH = "/v1/students/1/track?resolution=raw"
_READER_BYTES = 2**16
_HTTP_1_0 = "GET {} HTTP/1.0\r\nAuthorization: Bearer {}\r\nAccept: text/csv\r\n\r\n"


@pytest.fixture
def everyone(database: conftest.Database, school: list[provision.Enrolled]) -> str:
    """The token of a viewer who sees all students."""
    with db.direct(database.url) as connection:
        return provision.add_viewer(connection, None)[1]


@pytest.fixture
def month(database: conftest.Database) -> str:
    """A month of one student, a ping each 26 seconds; the path of all of it."""
    newest, step = rollups.now(), datetime.timedelta(seconds=26)
    fixes = (rollups.Fix(newest - one * step, 5, 52.5, 13.4) for one in range(MANY, 0, -1))
    rollups.store(database, 1, fixes)
    return _since(newest - MANY * step)


def _since(start: datetime.datetime) -> str:
    return f"{PATH}&from={start:%Y-%m-%dT%H:%M:%SZ}"


async def test_a_month_takes_no_more_memory_than_a_few_days(
    database: conftest.Database, start: conftest.Start, everyone: str, month: str
) -> None:
    """Ten times the points, the same peak; a reader that keeps the file would be noticed."""
    running = await start(database.settings(database_replica_url=""))
    few_days = _since(rollups.now() - FEW * datetime.timedelta(seconds=26))

    async def peak_mib(path: str, *, chunk_bytes: int = _READER_BYTES) -> tuple[float, int]:
        headers = {"Authorization": f"Bearer {everyone}", "Accept": "text/csv"}
        lines = 0
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        async with running.client.get(path, headers=headers) as answer:
            while chunk := await answer.content.read(chunk_bytes):
                lines += chunk.count(b"\n")
        return (tracemalloc.get_traced_memory()[1] - before) / 2**20, lines

    tracemalloc.start()
    try:
        await peak_mib(few_days)
        small, few = await peak_mib(few_days)
        large, many = await peak_mib(month)
        kept, _ = await peak_mib(month, chunk_bytes=-1)
    finally:
        tracemalloc.stop()

    assert few < FEW + 10
    assert many == MANY + 1
    assert large < small + 2
    assert kept > small + 2


class Reader:
    """Speaks HTTP/1.0, where only the way a connection ends tells a whole file from a part."""

    def __init__(self, port: int, request: str) -> None:
        self._request = request.encode()
        self._socket = socket.socket()
        # Small: the writer is still in the middle when this one stops to read.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _READER_BYTES)
        self._socket.setblocking(False)
        self._port = port
        self.said = b""

    async def begin(self) -> None:
        """Asks, and reads the beginning."""
        loop = asyncio.get_running_loop()
        await loop.sock_connect(self._socket, ("127.0.0.1", self._port))
        await loop.sock_sendall(self._socket, self._request)
        while len(self.said) < _READER_BYTES:
            chunk = await loop.sock_recv(self._socket, _READER_BYTES)
            assert chunk
            self.said += chunk

    async def is_complete(self) -> bool:
        """Reads to the end; False when the connection was reset."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(30):
                while chunk := await loop.sock_recv(self._socket, 2**20):
                    self.said += chunk
        except ConnectionResetError:
            return False
        finally:
            self._socket.close()
        return True


async def _killed_in_the_middle(
    database: conftest.Database, path: str, token: str, *, module: str
) -> Reader:
    async with processes.serving(database, module=module) as service:
        reader = Reader(service.port, _HTTP_1_0.format(path, token))
        await reader.begin()
        service.kill()
    return reader


async def test_a_file_cut_by_kill_9_does_not_look_complete(
    database: conftest.Database, everyone: str, month: str
) -> None:
    """Even over HTTP/1.0, and the check can tell: a whole file ends well, and a polite end is found out."""
    async with processes.serving(database) as service:
        whole = Reader(service.port, _HTTP_1_0.format(month, everyone))
        await whole.begin()
        whole_is_complete = await whole.is_complete()
    cut = await _killed_in_the_middle(database, month, everyone, module="geoingest")
    broken = "tests.broken.ends_politely"
    polite = await _killed_in_the_middle(database, month, everyone, module=broken)

    assert whole_is_complete
    assert whole.said.count(b"\n") > MANY
    assert not await cut.is_complete()
    assert await polite.is_complete()
    assert max(one.said.count(b"\n") for one in (cut, polite)) < MANY


async def test_a_file_is_cut_when_the_database_goes_away(
    database: conftest.Database, start: conftest.Start, everyone: str, month: str
) -> None:
    """Over either HTTP the reader learns that it has only a part, and the answer is counted as a 503."""
    counted = http.counters("GET", "/v1/students/{student_id}/track", 503)
    before = _count(counted)

    async with proxy.in_front_of(database.url) as link:
        running = await start(database.settings(database_url=link.url, database_replica_url=""))
        port = running.client.port
        assert port is not None
        old = Reader(port, _HTTP_1_0.format(month, everyone))
        await old.begin()
        headers = {"Authorization": f"Bearer {everyone}", "Accept": "application/gpx+xml"}
        async with running.client.get(month, headers=headers) as new:
            assert (await new.content.read(10)).startswith(b"<?xml")
            with link.black_hole():
                link.cut_all()
                is_complete = await old.is_complete()
                with pytest.raises(aiohttp.ClientPayloadError):
                    await new.content.read()

    assert not is_complete
    await conftest.until(lambda: _count(counted) == before + 2)


def _count(counters: http.Counters) -> float:
    counter = counters.answered.__self__  # type: ignore[attr-defined]  # bound to its counter
    return float(counter._value.get())


Serve = Callable[[export.Ask], Awaitable[TestClient]]  # type: ignore[type-arg]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Serves a file whose pages come from a function."""
    clients: list[TestClient] = []  # type: ignore[type-arg]

    async def serve_one(ask: export.Ask) -> TestClient:  # type: ignore[type-arg]
        async def handle(request: web.Request) -> web.StreamResponse:
            return await export.stream(request, formats.CSV, cursor.Cursor("raw"), ask)

        application = web.Application(middlewares=[http.observe])
        application.add_routes([web.get("/", handle)])
        clients.append(TestClient(TestServer(application)))
        await clients[-1].start_server()
        return clients[-1]

    yield serve_one
    for client in clients:
        await client.close()


def _answer(second: int, *, is_last: bool, as_of: datetime.datetime) -> export.Answer:
    timestamp = guardians.ago(seconds=second)
    point = shapes.Point(1, timestamp, 1.0, 2.0, None, None, None, None, None, timestamp)
    following = None if is_last else cursor.Cursor("raw", timestamp=timestamp)
    return replica.Answer(track.Page("raw", [point], following, None), as_of, "replica")


@pytest.mark.parametrize(
    "trouble", [errors.OverloadedError(), errors.NotFoundError(), ValueError("a bug")]
)
async def test_whatever_breaks_later_cuts_and_before_it_answers(
    serve: Serve, trouble: Exception
) -> None:
    """A page that fails, a viewer who may no longer see, a bug: the first page answers it, the second cuts."""

    async def fail(_after: cursor.Cursor) -> export.Answer:
        raise trouble

    async def fail_later(after: cursor.Cursor) -> export.Answer:
        if after.timestamp:
            raise trouble
        return _answer(3, is_last=False, as_of=guardians.NOW)

    early, late = await serve(fail), await serve(fail_later)
    async with early.get("/") as answered:
        problem = await answered.json(content_type=http.PROBLEM)
    async with late.get("/") as cut:
        with pytest.raises(aiohttp.ClientPayloadError):
            await cut.read()

    expected = trouble.status if isinstance(trouble, errors.HttpError) else 500
    assert (answered.status, problem["status"]) == (expected, expected)
    assert cut.status == 200


async def test_a_server_further_behind_cuts_the_file(serve: Serve) -> None:
    """As-Of holds for all of it: a page from before is not taken, one from later is."""

    async def ask(after: cursor.Cursor, second: int) -> export.Answer:
        as_of = (
            guardians.ago(seconds=10) if after.timestamp is None else guardians.ago(seconds=second)
        )
        return _answer(3, is_last=after.timestamp is not None, as_of=as_of)

    later = await serve(lambda after: ask(after, 9))
    earlier = await serve(lambda after: ask(after, 11))

    async with later.get("/") as whole:
        text = await whole.text()
    async with earlier.get("/") as cut:
        with pytest.raises(aiohttp.ClientPayloadError):
            await cut.read()

    assert whole.headers["As-Of"] == cut.headers["As-Of"] == formats.text(guardians.ago(seconds=10))
    assert text.count("\n") == 3
