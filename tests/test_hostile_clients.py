"""Clients that stall, vanish, flood or send bombs are answered or cut, and cost the others nothing."""

from __future__ import annotations

import asyncio
import datetime
import gzip
import io
import time

import aiohttp
import orjson

from geoingest.access import provision
from tests import conftest, processes

BODY_TIMEOUT_SECONDS = 1.0
# On a busy machine.
SLACK_SECONDS = 8.0
GROWTH_MIB = 64.0
CONNECTIONS = 2000
GZIP = {"Content-Encoding": "gzip"}
_BEGUN = b"POST /v1/pings HTTP/1.1\r\nHost: x\r\n"


def _pings(count: int) -> bytes:
    start = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    instants = (start + datetime.timedelta(seconds=number) for number in range(count))
    return orjson.dumps([{"timestamp": at, "latitude": 52.5, "longitude": 13.4} for at in instants])


def _head(student: provision.Enrolled, framing: str) -> bytes:
    """A request up to its body."""
    return _BEGUN + f"Authorization: Bearer {student.device_token}\r\n{framing}\r\n\r\n".encode()


async def _post(
    service: processes.Service, student: provision.Enrolled, body: bytes, **headers: str
) -> tuple[int, dict[str, object]]:
    headers = {"Authorization": f"Bearer {student.device_token}", **headers}
    url = f"{service.url}/v1/pings"
    async with aiohttp.request("POST", url, data=io.BytesIO(body), headers=headers) as got:
        return got.status, orjson.loads(await got.read())


async def _stall(service: processes.Service, beginning: bytes) -> tuple[bytes, float]:
    """Sends this and waits; what the service says until it closes, and after how many seconds."""
    started = time.monotonic()
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    writer.write(beginning)
    async with asyncio.timeout(BODY_TIMEOUT_SECONDS + SLACK_SECONDS):
        said = await reader.read()
    writer.close()
    return said, time.monotonic() - started


async def test_a_stalled_body_is_cut(
    database: conftest.Database, school: list[provision.Enrolled]
) -> None:
    """Headers and a bit of body, then nothing: after the body's time it is answered 408 and closed."""
    settings = {"GEOINGEST_BODY_TIMEOUT_SECONDS": str(BODY_TIMEOUT_SECONDS)}
    framings = ("Content-Length: 100", "Transfer-Encoding: chunked")

    async with processes.serving(database, **settings) as service:
        stalls = [_stall(service, _head(school[0], one) + b"2\r\n[{\r\n") for one in framings]
        ends = await asyncio.gather(*stalls)

    for said, seconds in ends:
        assert said.startswith(b"HTTP/1.1 408 ")
        assert seconds >= BODY_TIMEOUT_SECONDS


async def test_stalled_headers_are_cut(database: conftest.Database) -> None:
    """A caller that never gets to the end of its headers does not keep its socket."""
    beginnings = (b"", _BEGUN[:8], _BEGUN)

    async with processes.serving(database, GEOINGEST_KEEPALIVE_SECONDS="1") as service:
        ends = await asyncio.gather(*(_stall(service, one) for one in beginnings))

    assert len(ends) == len(beginnings)


async def test_sizes_have_limits(
    database: conftest.Database, school: list[provision.Enrolled]
) -> None:
    """2 MiB and 5,000 pings are taken, plain or packed; a byte or a ping more is 413."""
    full, most = _pings(1).ljust(2 * 2**20), _pings(5000)

    async with processes.serving(database) as service:
        taken = [
            await _post(service, school[0], full),
            await _post(service, school[1], gzip.compress(most), **GZIP),
        ]
        refused = [
            await _post(service, school[2], full + b" "),
            await _post(service, school[2], gzip.compress(full + b" "), **GZIP),
            await _post(service, school[2], _pings(5001)),
        ]

    assert [(status, answer["stored"]) for status, answer in taken] == [(200, 1), (200, 5000)]
    assert [(status, answer["reason"]) for status, answer in refused] == [
        (413, "body_too_large")
    ] * 3


async def test_a_bomb_is_refused_before_it_unfolds(
    database: conftest.Database, school: list[provision.Enrolled]
) -> None:
    """200 MB of blanks in 200 kB of gzip, four at once: 413, and memory stays."""
    bomb = gzip.compress(b" " * 200_000_000)

    async with processes.serving(database) as service:
        await _post(service, school[0], _pings(1))
        before_mib = service.rss_mib()
        answers = await asyncio.gather(*(_post(service, one, bomb, **GZIP) for one in school[:4]))
        grown_mib = service.rss_mib() - before_mib

    assert {status for status, _ in answers} == {413}
    assert grown_mib < GROWTH_MIB


async def test_clients_that_vanish_make_no_noise(
    database: conftest.Database, school: list[provision.Enrolled]
) -> None:
    """Hanging up before, in the middle of, or after a body is no error of ours, and is not logged."""
    body = _pings(1)
    settings = {"GEOINGEST_BODY_TIMEOUT_SECONDS": str(BODY_TIMEOUT_SECONDS)}

    async with processes.serving(database, **settings) as service:
        for part in (b"", body[:9], body):
            for politely in (True, False):
                _, writer = await asyncio.open_connection("127.0.0.1", service.port)
                writer.write(_head(school[0], f"Content-Length: {len(body)}") + part)
                await writer.drain()
                # A FIN, or a reset.
                (writer.close if politely else writer.transport.abort)()
        status, _ = await _post(service, school[1], body)
        # The question for the metrics is itself under way.
        async with asyncio.timeout(BODY_TIMEOUT_SECONDS + SLACK_SECONDS):
            while (await service.metrics())["geoingest_http_requests_in_flight"] > 1:
                await asyncio.sleep(0.05)
        counted = [
            name for name in await service.metrics() if 'code="5' in name and "/v1/pings" in name
        ]
        said = service.output()

    assert status == 200
    assert not counted
    assert "error" not in said
    assert "Traceback" not in said


async def test_two_thousand_at_once_are_all_answered(
    database: conftest.Database, school: list[provision.Enrolled]
) -> None:
    """So many connections in one moment, each with a ping: 200 for every one of them."""
    # A socket here is one file; the service is a process of its own.
    count = min(CONNECTIONS, processes.allow_files(CONNECTIONS + 500) - 500)
    start = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)

    async def post(session: aiohttp.ClientSession, number: int) -> int:
        at = start + datetime.timedelta(seconds=number)
        ping = {"timestamp": at.isoformat(), "latitude": 52.5, "longitude": 13.4}
        headers = {"Authorization": f"Bearer {school[number % len(school)].device_token}"}
        async with session.post("/v1/pings", json=ping, headers=headers) as got:
            return got.status

    async with processes.serving(database) as service:
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        async with aiohttp.ClientSession(service.url, connector=connector) as session:
            statuses = await asyncio.gather(*(post(session, number) for number in range(count)))

    assert count >= 500
    assert statuses == [200] * count
