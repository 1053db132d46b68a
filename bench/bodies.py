"""What phones post: prebuilt bytes in which only the timestamp is new."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Sequence
from typing import Protocol

_MILLISECONDS = [f".{number:03d}Z".encode() for number in range(1000)]
# Phones report every few seconds; a backlog is what gathered in eight minutes without a network.
BACKLOG_PINGS = 100
BACKLOG_STEP_MS = 5_000


class Requests(Protocol):
    """An endless supply of requests, as bytes to write."""

    def request(self, number: int, /) -> bytes:
        """The request with this number, counted from 0."""
        ...


class Singles:
    """One ping per request, from each phone in turn, each with the time of its sending."""

    def __init__(self, tokens: Sequence[str], *, port: int, path: str = "/v1/pings") -> None:
        chooser = random.Random(1)
        self._heads = []
        self._tails = []
        self._last_ms = [0] * len(tokens)
        self._second = -1
        self._prefix = b""
        for token in tokens:
            start, rest = b'{"timestamp":"', _rest(chooser)
            length = len(start) + len("2026-11-22T10:00:00.000Z") + len(rest)
            self._heads.append(_head(path, token, port, length) + start)
            self._tails.append(rest)

    def request(self, number: int) -> bytes:
        """A ping of now, or a millisecond after this phone's last: no key comes twice."""
        at = number % len(self._heads)
        now_ms = max(time.time_ns() // 1_000_000, self._last_ms[at] + 1)
        self._last_ms[at] = now_ms
        second, rest = divmod(now_ms, 1000)
        if second != self._second:
            self._second = second
            self._prefix = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)).encode()
        return self._heads[at] + self._prefix + _MILLISECONDS[rest] + self._tails[at]


class Backlogs:
    """Many pings per request: each phone in turn posts what it has kept, then its next backlog."""

    def __init__(
        self,
        tokens: Sequence[str],
        *,
        port: int,
        start_ms: int,
        path: str = "/v1/pings",
        pings: int = BACKLOG_PINGS,
    ) -> None:
        self._heads = [_head(path, token, port, None) for token in tokens]
        self._pings = pings
        self._start_ms = start_ms
        self._bodies: dict[int, bytes] = {}

    def request(self, number: int) -> bytes:
        """Backlogs with the same turn hold the same instants; the phone makes them unique."""
        turn, at = divmod(number, len(self._heads))
        body = self._bodies.get(turn)
        if body is None:
            body = self._bodies[turn] = array(
                backlog_ms(self._start_ms, turn, self._pings), random.Random(turn)
            )
        return self._heads[at] + body


def backlog_ms(start_ms: int, turn: int, pings: int = BACKLOG_PINGS) -> range:
    """The instants of one backlog, in unix milliseconds."""
    length_ms = pings * BACKLOG_STEP_MS
    first = start_ms + turn * length_ms
    return range(first, first + length_ms, BACKLOG_STEP_MS)


def stamp(unix_ms: int) -> bytes:
    """RFC 3339 in UTC with milliseconds."""
    second, rest = divmod(unix_ms, 1000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)).encode() + _MILLISECONDS[rest]


def reading(chooser: random.Random) -> tuple[float, float, float, float, float, int]:
    """Latitude, longitude, accuracy, speed, course and battery, as precise as phones tell them."""
    return (
        round(chooser.uniform(52.4, 52.6), 6),
        round(chooser.uniform(13.2, 13.6), 6),
        round(chooser.uniform(3, 30), 1),
        round(chooser.uniform(0, 15), 2),
        round(chooser.uniform(0, 360), 1),
        chooser.randint(5, 100),
    )


def head(token: str, *, port: int) -> bytes:
    """A post's headers; the body's length, an empty line and the body are to follow."""
    return _head("/v1/pings", token, port, None)


def array(instants_ms: Iterable[int], chooser: random.Random) -> bytes:
    """A body with a ping of each instant, its length in front."""
    pings = [b'{"timestamp":"' + stamp(one) + _rest(chooser) for one in instants_ms]
    body = b"[" + b",".join(pings) + b"]"
    return b"Content-Length: %d\r\n\r\n" % len(body) + body


def _rest(chooser: random.Random) -> bytes:
    """A ping's JSON behind its timestamp."""
    latitude, longitude, accuracy, speed, course, battery = reading(chooser)
    return (
        f'","latitude":{latitude},"longitude":{longitude},"accuracy":{accuracy}'
        f',"speed":{speed},"course":{course},"battery":{battery}}}'
    ).encode()


def _head(path: str, token: str, port: int, length: int | None) -> bytes:
    text = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: phone/1.0\r\n"
        f"Authorization: Bearer {token}\r\nContent-Type: application/json\r\n"
    )
    if length is not None:
        text += f"Content-Length: {length}\r\n\r\n"
    return text.encode()
