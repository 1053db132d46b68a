"""A phone's connection answers as aiohttp would, whatever comes over it and however it is cut."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gc
import gzip
import hashlib
import itertools
import re
import weakref
from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

import orjson
import pytest
from aiohttp import web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import HttpRequestParser, RawRequestMessage
from hypothesis import given, settings
from hypothesis import strategies as st

from geoingest import http, ping
from geoingest.ingest import (
    apps,
    batcher,
    connection,
    door,
    endpoints,
    head,
    intake,
    overload,
    pings,
    posted,
    reception,
    submission,
)
from tests import conftest, test_ping

_TOKEN = "gi_dev_" + "a" * 43
_OTHER_TOKEN = "gi_dev_" + "b" * 43
_MOST_BYTES = 2_000
_LIMITS = overload.Limits(1000, 1_000_000, 60.0, 1000, 60.0)
_GOOD = b'{"timestamp":"%b","latitude":52.5,"longitude":13.4}' % test_ping.NOW.isoformat().encode()
_SECOND = f'{{"timestamp":"{test_ping.NOW.isoformat()}","latitude":5,"longitude":1}}'.encode()
_PATIENCE_SECONDS = 20.0


class _Senders:
    """Two phones."""

    students = frozenset({1})

    def __init__(self) -> None:
        self._known = {
            hashlib.sha256(token.encode()).digest(): ping.Sender(device_id, 1)
            for device_id, token in enumerate((_TOKEN, _OTHER_TOKEN), start=7)
        }

    def sender(self, digest: bytes) -> ping.Sender | None:
        return self._known.get(digest)

    def secret(self, device_id: int) -> bytes | None:
        return None


class _Server(NamedTuple):
    """A port, the queue behind it, and an event without which nothing is committed."""

    port: int
    queue: batcher.Batcher
    commits: asyncio.Event
    written: list[int]
    runner: web.AppRunner

    def connections(self) -> list[connection.Connection]:
        """Those that are not aiohttp's."""
        assert isinstance(self.runner, reception.Runner)
        return list(self.runner._reception._connections)

    async def ask(self, chunks: Sequence[bytes], *, pause: bool = False) -> bytes:
        """Sends the chunks, one after the other, and returns all answers up to the close."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            for chunk in chunks:
                writer.write(chunk)
                await writer.drain()
                if pause:
                    # Let the other side read it alone.
                    await asyncio.sleep(0.02)
            async with asyncio.timeout(_PATIENCE_SECONDS):
                return await reader.read()
        finally:
            writer.close()


@contextlib.asynccontextmanager
async def _serving(
    *,
    with_reception: bool = True,
    keepalive_seconds: float = 60.0,
    body_seconds: float = 5.0,
    requests_per_second: float = 1e6,
    limits: overload.Limits = _LIMITS,
) -> AsyncIterator[_Server]:
    queue = batcher.Batcher(limits)
    commits = asyncio.Event()
    commits.set()
    written: list[int] = []

    async def write(batch: Sequence[submission.Submission]) -> submission.Outcome:
        await commits.wait()
        written.extend(one.decoded.received for one in batch)
        return submission.Outcome()

    async def lane() -> None:
        while True:
            await queue.flush(write)

    takes = intake.Intake(_Senders(), queue, intake.Terms(90, 300.0, 100, requests_per_second))
    doors: list[door.Door] = [pings.Pings(takes), *apps.doors(takes, interval_seconds=0)]
    application = web.Application(middlewares=[http.observe], client_max_size=_MOST_BYTES)
    application.add_routes(endpoints.routes(doors, body_timeout_seconds=body_seconds))
    limits_of_one = connection.Limits(_MOST_BYTES, body_seconds, keepalive_seconds)
    runner: web.AppRunner = (
        reception.Runner(application, doors, limits_of_one, shutdown_timeout=1.0)
        if with_reception
        else web.AppRunner(application, keepalive_timeout=keepalive_seconds, shutdown_timeout=1.0)
    )
    queue.open_lane()
    task = asyncio.create_task(lane())
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield _Server(site.port, queue, commits, written, runner)
    finally:
        commits.set()
        await runner.cleanup()
        task.cancel()
        await asyncio.wait([task])


def _post(
    body: bytes = _GOOD,
    *headers: str,
    line: str = "POST /v1/pings HTTP/1.1",
    token: str | None = _TOKEN,
    length: bool = True,
) -> bytes:
    lines = [line, "Host: x", "User-Agent: phone/1.0", *headers]
    if token is not None:
        lines.append(f"Authorization: Bearer {token}")
    if length:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def _chunked(body: bytes) -> bytes:
    framed = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    return _post(framed, "Transfer-Encoding: chunked", length=False)


_SECONDS = int(test_ping.NOW.timestamp())
_TRACCAR = f"POST /v1/traccar?id={_TOKEN}&lat=52.5&lon=13.25&timestamp={_SECONDS}&speed=1 HTTP/1.1"
_OWNTRACKS = b'{"_type":"location","lat":52.5,"lon":13.25,"tst":%d}' % _SECONDS
_BASIC = base64.b64encode(f"jane:{_TOKEN}".encode()).decode()
_LAST = _post(b"?", "Connection: close")
# Plain ones, faulty ones, and what only aiohttp answers.
_REQUESTS = {
    "plain": _post(),
    "plain again": _post(),
    "another length": _post(_SECOND),
    "another phone": _post(token=_OTHER_TOKEN),
    "array": _post(b"[" + _GOOD + b"," + _SECOND + b"]"),
    "lines": _post(_GOOD + b"\n" + _SECOND, "Content-Type: application/x-ndjson; charset=utf-8"),
    "poison": _post(b'[{"latitude":91},' + _GOOD + b"]"),
    "not json": _post(b"hello"),
    "empty": _post(b""),
    "no length": _post(b"", length=False),
    "stranger": _post(token="nobody"),
    "no token": _post(token=None),
    "odd token": _post(token="a\tb"),
    "basic": _post(_GOOD, "Authorization: Basic eDp5", token=None),
    "two tokens": _post(_GOOD, f"Authorization: Bearer {_OTHER_TOKEN}"),
    "small letters": _post().replace(b"Authorization", b"authorization").replace(b"Bearer", b"bearer"),
    "spaces": _post().replace(b"Content-Length: ", b"Content-Length:  \t").replace(b"Bearer ", b"Bearer  "),
    "gzip": _post(gzip.compress(_GOOD, mtime=0), "Content-Encoding: gzip"),
    "chunked": _chunked(_GOOD),
    "too large": _post(b" " * (_MOST_BYTES + 1)),
    "elsewhere": _post(line="POST /v1/elsewhere HTTP/1.1"),
    "query": _post(line="POST /v1/pings?a=1 HTTP/1.1"),
    "slash": _post(line="POST /v1/pings/ HTTP/1.1"),
    "get": _post(b"", line="GET /v1/pings HTTP/1.1"),
    "traccar": _post(b"", line=_TRACCAR, token=None),
    "traccar, odd query": _post(b"", line=_TRACCAR.replace(" HTTP", "&a=%zz&b=<\"{|}^` HTTP"), token=None),
    "traccar, fragment": _post(b"", line=_TRACCAR.replace(" HTTP", "#a HTTP"), token=None),
    "traccar, stranger": _post(b"", line=_TRACCAR.replace(_TOKEN, "nobody"), token=None),
    "traccar, slash": _post(b"", line=_TRACCAR.replace("car?", "car/?"), token=None),
    "traccar form": _post(_TRACCAR.split("?")[1][:-9].encode(), line="POST /v1/traccar HTTP/1.1", token=None),
    "traccar by put": _post(b"", line=_TRACCAR.replace("POST", "PUT"), token=None),
    "gpslogger": _post(b"", line=f"GET /v1/gpslogger?token={_TOKEN}&lat=52.5&lon=13.25& HTTP/1.1", token=None, length=False),
    "owntracks": _post(_OWNTRACKS, "Content-Type: application/json", line="POST /v1/owntracks HTTP/1.1"),
    "owntracks, basic": _post(_OWNTRACKS, f"Authorization: Basic {_BASIC}", line="POST /v1/owntracks HTTP/1.1", token=None),
    "owntracks, nothing to store": _post(b'{"_type":"lwt"}', line="POST /v1/owntracks HTTP/1.1"),
    "overland": _post(b'{"locations":[]}', line="POST /v1/overland HTTP/1.1"),
    "no app": _post(b"{}", line="POST /v1/overlands HTTP/1.1"),
}  # fmt: skip
# After these a server may close, so that they can only be the last.
_BROKEN = {
    "old": _post(line="POST /v1/pings HTTP/1.0"),
    "two lengths": _post(_GOOD, "Content-Length: 5"),
    "length and chunks": _post(_GOOD, "Transfer-Encoding: chunked"),
    "signed length": _post(_GOOD, "Content-Length: +5", length=False),
    "line feed in the token": _post(token="a\nContent-Length: 0"),
    "odd byte in the query": _post(b"", line=_TRACCAR.replace(" HTTP", "&a=\u00fc HTTP"), token=None),
    "folded": _post(_GOOD, "X: a\r\n b"),
    "no http": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
}  # fmt: skip
_ANSWER = re.compile(rb"HTTP/1\.[01] (\d{3}) .*?\r\n\r\n", re.DOTALL)


def _answers(text: bytes) -> list[tuple[int, bytes]]:
    """Status and body of each answer; what differs by server and second is left out."""
    found = []
    while text:
        match = _ANSWER.match(text)
        assert match, text[:200]
        length = re.search(rb"(?i)\r\ncontent-length: (\d+)", match[0])
        end = match.end() + (int(length[1]) if length else len(text))
        found.append((int(match[1]), text[match.end() : end]))
        text = text[end:]
    return found


def _cut(stream: bytes, cuts: Sequence[int]) -> list[bytes]:
    at = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    return [stream[start:end] for start, end in itertools.pairwise(at) if start < end]


async def _compared(chunks: Sequence[bytes]) -> tuple[list[tuple[int, bytes]], ...]:
    both = []
    for with_reception in (True, False):
        async with _serving(with_reception=with_reception) as server:
            both.append(_answers(await server.ask(chunks, pause=True)))
    return tuple(both)


@pytest.mark.parametrize("name", _REQUESTS)
async def test_each_kind_of_request_is_answered_as_by_aiohttp(name: str) -> None:
    """Alone, twice on one connection, and between plain ones: the same answers in the same order."""
    one, plain = _REQUESTS[name], _REQUESTS["plain"]

    ours, theirs = await _compared([plain, one, one, plain, _LAST])

    assert ours == theirs
    assert len(ours) == 5 or ours[-1][0] == 413
    assert ours[0][0] == 200


@pytest.mark.parametrize("name", _BROKEN)
async def test_a_broken_request_is_refused_as_by_aiohttp(name: str) -> None:
    """First on its connection and after a plain one: nothing of it is taken for a ping."""
    for chunks in ([_BROKEN[name]], [_REQUESTS["plain"], _BROKEN[name]]):
        ours, theirs = await _compared([*chunks, b"\r\n\r\n"] if name != "old" else chunks)

        assert [status for status, _ in ours] == [status for status, _ in theirs]


@given(
    st.lists(st.sampled_from([name for name in _REQUESTS if name != "too large"]), max_size=4),
    st.lists(st.integers(0, 10_000), max_size=6),
)
@settings(deadline=None, max_examples=30)
async def test_any_stream_cut_anywhere_gives_the_same_answers(
    names: list[str], cuts: list[int]
) -> None:
    """Requests split over segments or several in one: answered once each, in order, as by aiohttp."""
    stream = b"".join(_REQUESTS[name] for name in names) + _LAST

    ours, theirs = await _compared(_cut(stream, cuts))

    assert ours == theirs
    assert len(ours) == len(names) + 1


async def test_a_request_sent_before_the_last_answer_waits_for_its_turn() -> None:
    """Impatient phones get both answers, in order, and nothing is committed twice."""
    async with _serving() as server:
        server.commits.clear()
        asking = asyncio.create_task(server.ask([_post(), _post(_SECOND), _LAST], pause=True))
        await conftest.until(lambda: server.queue.pings == 1)
        server.commits.set()

        answers = _answers(await asking)

    assert [status for status, _ in answers] == [200, 200, 400]
    assert server.written == [1, 1]


async def test_a_silent_connection_is_ended_and_a_waiting_one_is_not() -> None:
    """Idle beyond keep-alive: closed. Waiting for its commit: answered, however long that takes."""
    async with _serving(keepalive_seconds=0.2) as server:
        server.commits.clear()
        waiting = asyncio.create_task(server.ask([_post()]))
        await conftest.until(lambda: server.queue.pings == 1)

        silent = [await server.ask([]), await server.ask([b"POST /v1/pings HT"])]
        assert not waiting.done()
        server.commits.set()
        answers = _answers(await waiting)

    assert silent == [b"", b""]
    assert [status for status, _ in answers] == [200]


async def test_a_body_that_stalls_is_told_so() -> None:
    """408, and the connection ends: nothing waits for ever."""
    async with _serving(body_seconds=0.1) as server:
        answers = _answers(await server.ask([_post()[:-5]]))

    assert [(status, orjson.loads(body)["reason"]) for status, body in answers] == [
        (408, "body_timeout")
    ]


async def test_a_greedy_device_is_told_to_wait_and_others_are_not() -> None:
    """After ten seconds of its rate at once: 429 with Retry-After; the next device is let in."""
    async with _serving(requests_per_second=0.2) as server:
        first = await server.ask([_post(), _post(), _post(), _LAST], pause=True)
        other = await server.ask([_post(token=_OTHER_TOKEN), _LAST], pause=True)

    assert [status for status, _ in _answers(first)] == [200, 200, 429, 429]
    assert b"Retry-After: " in first
    assert _answers(other)[0][0] == 200


async def test_a_full_queue_is_told_before_the_body_is_looked_at() -> None:
    """503 with Retry-After also for what could not even be decoded, and the connection stays."""
    async with _serving(limits=_LIMITS._replace(queue_pings=1)) as server:
        server.commits.clear()
        first = asyncio.create_task(server.ask([_post(), _LAST], pause=True))
        await conftest.until(lambda: server.queue.pings == 1)
        refused = asyncio.create_task(server.ask([_post(b"hello"), _post(), _LAST], pause=True))
        await conftest.until(lambda: refused.done() or first.done(), seconds=5)
        server.commits.set()
        text = await refused
        await first

    assert [status for status, _ in _answers(text)] == [503, 503, 503]
    assert text.count(b"Retry-After: ") == 3


async def test_a_caller_that_reads_no_answers_is_cut_off() -> None:
    """When asyncio says that answers pile up unread, the connection is ended at once."""
    async with _serving() as server:
        server.commits.clear()
        asking = asyncio.create_task(server.ask([_post()]))
        await conftest.until(lambda: server.queue.pings == 1)
        (one,) = server.connections()

        one.pause_writing()

        with contextlib.suppress(ConnectionError):
            assert await asking == b""
    assert server.written == [1]


@pytest.mark.parametrize(
    "sent",
    [_post(), _post()[:-1], _post(line="GET /elsewhere HTTP/1.1")],
    ids=["rests", "within a body", "handed on"],
)
async def test_a_connection_that_is_gone_leaves_the_collector_nothing(sent: bytes) -> None:
    """When thousands are gone at once, freeing them must not be one long pause for everybody else."""
    loop = asyncio.get_running_loop()
    gone = asyncio.Event()
    async with _serving() as server:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        while not server.connections():
            await asyncio.sleep(0)
        (held,) = server.connections()
        weakref.finalize(held, loop.call_soon_threadsafe, gone.set)
        del held
        gc.disable()
        try:
            # The close follows the bytes.
            writer.write(sent)
            writer.close()
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await gone.wait()
        finally:
            gc.enable()


async def test_closing_waits_for_the_answers_that_are_due() -> None:
    """What was read is answered before its connection ends; idle ones end at once."""
    async with _serving() as server:
        server.commits.clear()
        waiting = asyncio.create_task(server.ask([_post()]))
        idle = asyncio.create_task(server.ask([]))
        await conftest.until(lambda: server.queue.pings == 1)
        asyncio.get_running_loop().call_later(0.2, server.commits.set)

    assert await idle == b""
    assert [status for status, _ in _answers(await waiting)] == [200]


def test_a_head_is_known_again_only_with_plain_fields() -> None:
    """Query, token and length may differ; every other byte, a longer body or an odd token is parsed."""
    raw = _post()
    plain = head.describe(_parsed(raw))
    known = head.remember(plain, raw[: -len(_GOOD)], max_body_bytes=_MOST_BYTES)
    assert known is not None

    bearer = f"Bearer {_OTHER_TOKEN}".encode()
    other = posted.Posted("/v1/pings", "POST", "", "", bearer, _SECOND)
    assert known.read(_post(_SECOND, token=_OTHER_TOKEN)) == (other, 0, b"")
    assert known.read(_post(_SECOND, token=_OTHER_TOKEN) + b"POST") == (other, 0, b"POST")
    part = other._replace(body=_SECOND[:-5])
    assert known.read(_post(_SECOND, token=_OTHER_TOKEN)[:-5]) == (part, 5, b"")
    for odd in (
        _post(token="a\nb"),
        _post(token="a\tb"),
        _post(token="a\u00fcb"),
        _post().replace(b"phone/1.0", b"phone/1.1"),
        _post().replace(b"Content-Length: ", b"Content-Length: +"),
        raw[: raw.find(b"\r\n\r\n")],
        _post(b" " * (_MOST_BYTES + 1)),
    ):
        assert known.read(odd) is None


def test_a_query_may_differ_where_it_is_plain() -> None:
    """The parser accepts more; what it would have to look at goes to it."""
    raw = _REQUESTS["traccar"]
    known = head.remember(head.describe(_parsed(raw)), raw, max_body_bytes=_MOST_BYTES)
    assert known is not None

    begun = known.read(raw.replace(b"speed=1", b"speed=%31+2"))
    assert begun is not None
    assert begun.given == posted.Posted(
        "/v1/traccar", "POST", _TRACCAR.split("?")[1][:-10] + "%31+2", "", b"", b""
    )
    for odd in (b"speed=1\t", b"speed=\xfc", b"speed=#1", b"speed= 1", b"speed=1\r\nA: b"):
        assert known.read(raw.replace(b"speed=1", odd)) is None


def _parsed(raw: bytes) -> RawRequestMessage:
    loop = asyncio.new_event_loop()
    try:
        messages, _, _ = HttpRequestParser(BaseProtocol(loop), loop, 2**16).feed_data(raw)
    finally:
        loop.close()
    return messages[0][0]
