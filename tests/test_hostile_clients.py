"""Clients that stall, vanish, flood or send bombs are answered or cut, and cost the others nothing."""

from __future__ import annotations

import asyncio
import datetime
import gzip
import time
from collections.abc import AsyncIterator

import aiohttp
import orjson
import pytest

from geoingest.access import provision
from tests import conftest, processes

BODY_TIMEOUT_SECONDS = 1.0
# On a busy machine.
SLACK_SECONDS = 5.0
GROWTH_MIB = 64.0
CONNECTIONS = 2000


@pytest.fixture
async def service(
    database: conftest.Database, school: list[provision.Enrolled]
) -> AsyncIterator[processes.Service]:
    """A service that waits a second for a body, and a second for headers."""
    settings = {
        "GEOINGEST_BODY_TIMEOUT_SECONDS": str(BODY_TIMEOUT_SECONDS),
        "GEOINGEST_KEEPALIVE_SECONDS": "1",
    }
    async with processes.serving(database, **settings) as one:
        yield one


def _pings(count: int) -> bytes:
    start = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    instants = (start + datetime.timedelta(seconds=number) for number in range(count))
    return orjson.dumps([{"timestamp": at, "latitude": 52.5, "longitude": 13.4} for at in instants])


def _head(student: provision.Enrolled, *lines: str) -> bytes:
    """A request up to its body."""
    authorization = f"Authorization: Bearer {student.device_token}"
    return "\r\n".join(
        ["POST /v1/pings HTTP/1.1", "Host: x", authorization, *lines, "", ""]
    ).encode()


async def _post(
    service: processes.Service, student: provision.Enrolled, body: bytes, **headers: str
) -> tuple[int, dict[str, object]]:
    headers["Authorization"] = f"Bearer {student.device_token}"
    url = f"{service.url}/v1/pings"
    async with aiohttp.request("POST", url, data=body, headers=headers) as got:
        return got.status, orjson.loads(await got.read())


async def _rest(reader: asyncio.StreamReader) -> bytes:
    """All that the service still says before it closes, which it does in time."""
    async with asyncio.timeout(BODY_TIMEOUT_SECONDS + SLACK_SECONDS):
        return await reader.read()


@pytest.mark.parametrize("framing", ["Content-Length: 100", "Transfer-Encoding: chunked"])
async def test_a_stalled_body_is_cut(
    service: processes.Service, school: list[provision.Enrolled], framing: str
) -> None:
    """Headers and a bit of body, then nothing: after the body's time it is answered 408 and closed."""
    started = time.monotonic()
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    writer.write(_head(school[0], framing) + b"2\r\n[{\r\n")

    answer = await _rest(reader)
    writer.close()

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert time.monotonic() - started >= BODY_TIMEOUT_SECONDS


@pytest.mark.parametrize("beginning", [b"", b"POST /v1", b"POST /v1/pings HTTP/1.1\r\nHost: x\r\n"])
async def test_stalled_headers_are_cut(service: processes.Service, beginning: bytes) -> None:
    """A caller that never gets to the end of its headers does not keep its socket."""
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    writer.write(beginning)

    await _rest(reader)
    writer.close()


async def test_a_bomb_is_refused_before_it_unfolds(
    service: processes.Service, school: list[provision.Enrolled]
) -> None:
    """200 MB of spaces in 200 kB of gzip: 413, and memory stays."""
    bomb = gzip.compress(b" " * 200_000_000, compresslevel=6)
    await _post(service, school[0], _pings(1))
    before_mib = service.rss_mib()

    headers = {"Content-Encoding": "gzip"}
    answers = await asyncio.gather(*(_post(service, school[0], bomb, **headers) for _ in range(4)))

    assert {status for status, _ in answers} == {413}
    assert service.rss_mib() - before_mib < GROWTH_MIB


async def test_sizes_have_limits(
    service: processes.Service, school: list[provision.Enrolled]
) -> None:
    """2 MiB and 5,000 pings are taken, plain or packed; a byte or a ping more is 413."""
    full = _pings(1).ljust(2 * 2**20)
    packed = gzip.compress(_pings(5000))

    assert (await _post(service, school[0], full))[1]["stored"] == 1
    assert (await _post(service, school[1], packed, **{"Content-Encoding": "gzip"}))[1] == {
        "received": 5000,
        "stored": 5000,
        "duplicate": 0,
        "rejected": [],
    }
    for body in (full + b" ", _pings(5001)):
        status, answer = await _post(service, school[2], body)
        assert (status, answer["reason"]) == (413, "body_too_large")


async def test_a_client_that_vanishes_makes_no_noise(
    service: processes.Service, school: list[provision.Enrolled]
) -> None:
    """Hanging up in the middle of a body, or before the answer, is no error of ours."""
    whole = _pings(1)
    for body in (b"[{", b"", whole):
        for _ in range(5):
            _, writer = await asyncio.open_connection("127.0.0.1", service.port)
            writer.write(_head(school[0], f"Content-Length: {len(whole)}") + body)
            await writer.drain()
            # Without waiting for what is on its way: a reset.
            writer.transport.abort()
    status, _ = await _post(service, school[1], _pings(1))
    await asyncio.sleep(BODY_TIMEOUT_SECONDS)

    assert status == 200
    said = service.output()
    assert "error" not in said
    assert "Traceback" not in said
    assert not [name for name in await service.metrics() if 'code="5' in name]


async def test_two_thousand_at_once_are_all_answered(
    service: processes.Service, school: list[provision.Enrolled]
) -> None:
    """So many connections in one moment, each with a ping: 200 for every one of them."""
    # A socket here is one file; the service is a process of its own.
    count = min(CONNECTIONS, processes.allow_files(CONNECTIONS + 500) - 500)
    start = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)

    async def post(session: aiohttp.ClientSession, number: int) -> int:
        at = start + datetime.timedelta(seconds=number)
        ping = {"timestamp": at.isoformat(), "latitude": 52.5, "longitude": 13.4}
        headers = {"Authorization": f"Bearer {school[number % 10].device_token}"}
        async with session.post("/v1/pings", json=ping, headers=headers) as got:
            return got.status

    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    async with aiohttp.ClientSession(service.url, connector=connector) as session:
        statuses = await asyncio.gather(*(post(session, number) for number in range(count)))

    assert count >= 500
    assert statuses == [200] * count
