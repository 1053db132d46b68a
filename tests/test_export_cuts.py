"""A file takes the memory of a page, and one that is cut never looks complete."""

from __future__ import annotations

import asyncio
import datetime
import socket
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
STEP = datetime.timedelta(seconds=26)
MOST_GROWTH_MIB = 16.0
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
    newest = rollups.now()
    fixes = (rollups.Fix(newest - one * STEP, 5, 52.5, 13.4) for one in range(MANY, 0, -1))
    rollups.store(database, 1, fixes)
    return _since(newest - MANY * STEP)


def _since(start: datetime.datetime) -> str:
    return f"{PATH}&from={start:%Y-%m-%dT%H:%M:%SZ}"


async def test_a_month_takes_no_more_memory_than_a_few_days(
    database: conftest.Database, everyone: str, month: str
) -> None:
    """Ten times the points and hardly more; one that reads the window as a whole is found out."""
    grown_mib = await _grown_mib(database, everyone, month, module="geoingest")
    broken = "tests.broken.one_long_page"
    whole_mib = await _grown_mib(database, everyone, month, module=broken)

    assert grown_mib < MOST_GROWTH_MIB < whole_mib


async def _grown_mib(database: conftest.Database, token: str, path: str, *, module: str) -> float:
    """By how much the peak of a service rises with a long file behind a short one."""
    headers = {"Authorization": f"Bearer {token}", "Accept": "text/csv"}
    few = _since(rollups.now() - FEW * STEP)
    peaks, lines = [], []
    async with (
        processes.serving(database, module=module) as service,
        aiohttp.ClientSession(service.url, headers=headers) as session,
    ):
        for one in (few, path):
            async with session.get(one) as answer:
                chunks = answer.content.iter_chunked(_READER_BYTES)
                lines.append(sum([chunk.count(b"\n") async for chunk in chunks]))
            peaks.append(service.peak_mib())
    assert FEW / 2 < lines[0] < FEW + 10
    assert lines[1] == MANY + 1
    return peaks[1] - peaks[0]


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
        running = await start(database.settings(**_through(link)))
        port = running.client.port
        assert port is not None
        old = Reader(port, _HTTP_1_0.format(month, everyone))
        await old.begin()
        headers = {"Authorization": f"Bearer {everyone}", "Accept": formats.GPX.content_type}
        async with running.client.get(month, headers=headers) as new:
            assert (await new.content.read(10)).startswith(b"<?xml")
            with link.black_hole():
                link.cut_all()
                is_complete = await old.is_complete()
                with pytest.raises(aiohttp.ClientPayloadError):
                    await new.content.read()

    assert not is_complete
    await conftest.until(lambda: _count(counted) == before + 2)


def _through(link: proxy.Proxy) -> dict[str, str]:
    """The settings of a service that reaches its primary only so."""
    return {name.lower(): url for name, url in processes.ways(link.url).items()}


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
            return await export.stream(request, formats.CSV, await ask(cursor.Cursor("raw")), ask)

        application = web.Application(middlewares=[http.observe])
        application.add_routes([web.get("/v1/locations", handle)])
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
    async with early.get("/v1/locations") as answered:
        problem = await answered.json(content_type=http.PROBLEM)
    async with late.get("/v1/locations") as cut:
        with pytest.raises(aiohttp.ClientPayloadError):
            await cut.read()

    expected = trouble.status if isinstance(trouble, errors.HttpError) else 500
    assert (answered.status, problem["status"]) == (expected, expected)
    assert cut.status == 200


async def test_as_of_holds_for_the_whole_file(serve: Serve) -> None:
    """A server that is further behind than the first is waited for; one that stays behind cuts the file."""
    promised = guardians.ago(seconds=10)
    asked = 0

    async def behind(after: cursor.Cursor) -> export.Answer:
        as_of = promised - rollups.HOUR if after.timestamp else promised
        return _answer(3, is_last=after.timestamp is not None, as_of=as_of)

    async def comes_up(after: cursor.Cursor) -> export.Answer:
        nonlocal asked
        asked += 1
        answer = await behind(after)
        return answer if asked < 4 else answer._replace(as_of=promised)

    late, never = await serve(comes_up), await serve(behind)
    async with late.get("/v1/locations") as whole:
        text = await whole.text()
    async with never.get("/v1/locations") as cut:
        with pytest.raises(aiohttp.ClientPayloadError):
            await cut.read()

    assert whole.headers["As-Of"] == cut.headers["As-Of"] == formats.text(promised)
    assert (asked, text.count("\n")) == (4, 3)
