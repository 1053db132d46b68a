"""What else comes in at a service's door: cut connections, half bodies, nonsense, strangers, repeats."""

from __future__ import annotations

import asyncio
import collections
import itertools
import re
import socket
import struct
import time
from collections.abc import Sequence
from typing import NamedTuple

from bench import phones

_PATIENCE_SECONDS = 20.0
# A close with this is a reset: the other side learns of it by an error.
_RESET = struct.pack("ii", 1, 0)


class Plan(NamedTuple):
    """The tokens are those of devices that nobody else uses."""

    host: str
    port: int
    tokens: Sequence[str]
    per_second: float
    seconds: float


class Outcome(NamedTuple):
    """How often each was done; pings that are stored for sure, and that may be; wrong answers by kind."""

    done: dict[str, int]
    stored: int
    unknown: int
    refused: int
    wrong: dict[str, int]


async def run(plan: Plan) -> Outcome:
    """One fault after the other at a steady pace, each on a connection of its own."""
    visitors = _Visitors(plan)
    loop = asyncio.get_running_loop()
    started_at = loop.time()
    async with asyncio.TaskGroup() as group:
        for number in range(round(plan.per_second * plan.seconds)):
            await asyncio.sleep(started_at + number / plan.per_second - loop.time())
            group.create_task(visitors.visit(number))
    return visitors.outcome()


class _Answer(NamedTuple):
    status: int
    body: bytes


class _Visitors:
    """Each kind of fault in turn, and what came of it."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._kinds = {
            "cut": self._cut,
            "half_body": self._half_body,
            "bad_json": self._bad_json,
            "poison": self._poison,
            "wrong_token": self._wrong_token,
            "duplicate": self._duplicate,
            "vanish": self._vanish,
        }
        self._names = itertools.cycle(self._kinds)
        self._done: collections.Counter[str] = collections.Counter()
        self._wrong: collections.Counter[str] = collections.Counter()
        self._stored = self._unknown = self._refused = 0

    async def visit(self, number: int) -> None:
        """One fault."""
        name = next(self._names)
        token = self._plan.tokens[number % len(self._plan.tokens)]
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await self._on_connection(name, token)
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            self._wrong[name] += 1
            # Whatever it had sent may have arrived.
            self._unknown += 1
        self._done[name] += 1

    def outcome(self) -> Outcome:
        """The numbers."""
        return Outcome(
            dict(self._done), self._stored, self._unknown, self._refused, dict(self._wrong)
        )

    async def _on_connection(self, name: str, token: str) -> None:
        connection = await asyncio.open_connection(self._plan.host, self._plan.port)
        try:
            await self._kinds[name](_Line(*connection), token)
        finally:
            connection[1].transport.abort()

    def _expect(self, name: str, answer: _Answer, *, status: int, words: str, stored: int) -> None:
        """Notes an answer; a refusal is one that says nothing about what is stored."""
        if answer.status in phones.REFUSALS:
            self._refused += 1
            self._unknown += stored
        elif answer.status == status and words.encode() in answer.body:
            self._stored += stored
        else:
            self._wrong[name] += 1
            self._unknown += stored

    async def _cut(self, line: _Line, token: str) -> None:
        line.write(_request(token, _ping())[:40])

    async def _half_body(self, line: _Line, token: str) -> None:
        line.write(_request(token, _ping())[:-40])

    async def _bad_json(self, line: _Line, token: str) -> None:
        answer = await line.ask(_request(token, _ping()[:-1]))
        self._expect("bad_json", answer, status=400, words="malformed_body", stored=0)

    async def _poison(self, line: _Line, token: str) -> None:
        pings = [_ping(), _ping(b"91"), _ping(b"NaN"), b'{"timestamp":"\\u0000"}']
        answer = await line.ask(_request(token, b"[" + b",".join(pings) + b"]"))
        words = '{"received":4,"stored":1,"duplicate":0,"rejected":[{"index":1'
        self._expect("poison", answer, status=200, words=words, stored=1)

    async def _wrong_token(self, line: _Line, token: str) -> None:
        answer = await line.ask(_request(token[::-1], _ping()))
        self._expect("wrong_token", answer, status=401, words="unauthenticated", stored=0)

    async def _duplicate(self, line: _Line, token: str) -> None:
        request = _request(token, _ping())
        first = await line.ask(request)
        self._expect("duplicate", first, status=200, words='"stored":1', stored=1)
        if first.status == 200:
            again = await line.ask(request)
            self._expect("duplicate", again, status=200, words='"duplicate":1', stored=0)

    async def _vanish(self, line: _Line, token: str) -> None:
        self._unknown += 1
        line.write(_request(token, _ping()))
        line.reset()


class _Line:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def write(self, data: bytes) -> None:
        """Sends it and waits for nothing."""
        self._writer.write(data)

    async def ask(self, request: bytes) -> _Answer:
        """Sends it and reads the answer."""
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"\r\ncontent-length: *(\d+)\r\n", head.lower())
        body = await self._reader.readexactly(int(length[1]) if length else 0)
        return _Answer(int(head[9:12]), body)

    def reset(self) -> None:
        """The close to come is a reset."""
        raw = self._writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)


def _ping(latitude: bytes = b"52.5") -> bytes:
    return b'{"timestamp":%d,"latitude":%b,"longitude":13.4}' % (
        time.time_ns() // 1_000_000,
        latitude,
    )


def _request(token: str, body: bytes) -> bytes:
    return (
        f"POST /v1/pings HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body
