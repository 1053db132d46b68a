"""The bytes of a phone's connection become whole plain requests, or turn out to be aiohttp's to answer."""

from __future__ import annotations

import asyncio
import enum
import re
from typing import TypeAlias

from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import HttpRequestParser, RawRequestMessage
from aiohttp.http_exceptions import HttpProcessingError

from geoingest.ingest import door, head, posted

# A path without its query; what is no path of ours has other bytes in it.
_TARGET = re.compile(rb"[/a-z0-9]*")
_LONGEST_START_BYTES = 64
# A head that is longer is aiohttp's to refuse.
_LONGEST_HEAD_BYTES = 16 * 1024


class Unfinished(enum.Enum):
    """What the bytes so far are, when they are no whole plain request."""

    # More of it must come.
    PART = enum.auto()
    # Something else: another path, an upgrade, compressed, chunked, broken, or no HTTP at all.
    FOREIGN = enum.auto()


Found: TypeAlias = posted.Posted | Unfinished


class Reading:
    """One request after the other. Heads go to aiohttp's own parser, or are known already."""

    def __init__(self, doors: door.Doors, max_body_bytes: int) -> None:
        self._doors = doors
        self._max_body_bytes = max_body_bytes
        self._head: head.Head | None = None
        # What has no whole body yet: the pieces, and how many bytes are missing.
        self.unfinished: posted.Posted | None = None
        self._pieces: list[bytes] = []
        self._missing_bytes = 0
        # The beginning of a request that is not understood yet; after a whole one, what came behind.
        self.rest = b""

    def feed(self, data: bytes) -> Found:
        """Takes what came last; after a request, `rest` is to be fed again once that is answered."""
        if self.unfinished is not None:
            return self._gather(self.unfinished, data)
        if self._head is not None and not self.rest:
            begun = self._head.read(data)
            if begun is not None:
                return self._continue(begun)
        self.rest += data
        return self._begin(self.rest)

    def _begin(self, raw: bytes) -> Found:
        if not self._may_be_plain(raw):
            return Unfinished.FOREIGN
        end = raw.find(head.END) + len(head.END)
        if end < len(head.END):
            return Unfinished.PART if len(raw) < _LONGEST_HEAD_BYTES else Unfinished.FOREIGN
        message = _parsed(raw[:end])
        if message is None or not head.is_plain(
            message, self._doors, max_body_bytes=self._max_body_bytes
        ):
            return Unfinished.FOREIGN
        given = head.describe(message)
        self._head = head.remember(given, raw[:end], max_body_bytes=self._max_body_bytes)
        body, length = raw[end:], head.length(message)
        came = body[:length]
        return self._continue(
            head.Begun(given._replace(body=came), length - len(came), body[length:])
        )

    def _continue(self, begun: head.Begun) -> Found:
        given, self._missing_bytes, self.rest = begun
        if not self._missing_bytes:
            return given
        self.unfinished, self._pieces = given, [given.body]
        return Unfinished.PART

    def _may_be_plain(self, raw: bytes) -> bool:
        """False as soon as the method and the path are no door's."""
        method, ends, rest = raw[:_LONGEST_START_BYTES].partition(b" ")
        if not ends:
            return any(one.startswith(method) for one in head.METHODS)
        target = _TARGET.match(rest)
        if method not in head.METHODS or target is None:
            return False
        path = target[0].decode()
        if target.end() < len(rest):
            return path in self._doors
        return any(one.startswith(path) for one in self._doors)

    def _gather(self, unfinished: posted.Posted, data: bytes) -> Found:
        missing = self._missing_bytes
        self._pieces.append(data[:missing])
        self._missing_bytes -= len(data)
        if self._missing_bytes > 0:
            return Unfinished.PART
        whole, self.rest = unfinished._replace(body=b"".join(self._pieces)), data[missing:]
        self.unfinished, self._pieces = None, []
        return whole


def _parsed(raw: bytes) -> RawRequestMessage | None:
    """The one head that these bytes are; None when aiohttp would refuse it."""
    loop = asyncio.get_running_loop()
    # For each head anew: one that lived with the connection would make a circle with its protocol,
    # and thousands of those, when a school's phones go at a bell, are a long pause for the collector.
    parser = HttpRequestParser(BaseProtocol(loop), loop, len(raw), auto_decompress=False)
    try:
        messages, upgraded, _tail = parser.feed_data(raw)
    except HttpProcessingError:
        return None
    return messages[0][0] if len(messages) == 1 and not upgraded else None
