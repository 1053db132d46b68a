"""The bytes of a phone's connection become whole plain posts, or turn out to be aiohttp's to answer."""

from __future__ import annotations

import asyncio
import enum
from typing import TypeAlias

from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import HttpRequestParser, RawRequestMessage
from aiohttp.http_exceptions import HttpProcessingError

from geoingest import errors, http
from geoingest.ingest import endpoints, head

_START = f"POST {endpoints.PATH} HTTP/1.1\r\n".encode()
# A head that is longer is aiohttp's to refuse.
_LONGEST_HEAD_BYTES = 16 * 1024


class Unfinished(enum.Enum):
    """What the bytes so far are, when they are no whole plain post."""

    # More of it must come.
    PART = enum.auto()
    # Something else: another path, an upgrade, compressed, chunked, broken, or no HTTP at all.
    FOREIGN = enum.auto()


Found: TypeAlias = head.Post | Unfinished


class Reading:
    """One request after the other. Heads go to aiohttp's own parser, or are known already."""

    def __init__(self, max_body_bytes: int) -> None:
        self._max_body_bytes = max_body_bytes
        self._head: head.Head | None = None
        # The post whose body is not whole yet: the pieces, and how many bytes are missing.
        self._post: head.Post | None = None
        self._pieces: list[bytes] = []
        self._missing_bytes = 0
        # The beginning of a request that is not understood yet; after a whole one, what came behind.
        self.rest = b""

    @property
    def is_within_body(self) -> bool:
        """True when the headers of a plain post are there and its body is not."""
        return self._post is not None

    def feed(self, data: bytes) -> Found:
        """Takes what came last; after a post, `rest` is to be fed again once that is answered."""
        if self._post is not None:
            return self._gather(data)
        if self._head is not None and not self.rest:
            post = self._head.read(data)
            if post is not None:
                return post
        self.rest += data
        return self._begin(self.rest)

    def _begin(self, raw: bytes) -> Found:
        if not _START.startswith(raw[: len(_START)]):
            return Unfinished.FOREIGN
        end = raw.find(head.END) + len(head.END)
        if end < len(head.END):
            return Unfinished.PART if len(raw) < _LONGEST_HEAD_BYTES else Unfinished.FOREIGN
        message = _parsed(raw[:end])
        if message is None or not head.is_plain(message, max_body_bytes=self._max_body_bytes):
            return Unfinished.FOREIGN
        self._head = head.remember(message, raw[:end], max_body_bytes=self._max_body_bytes)
        self._post = head.Post(_digest(message), b"", head.is_lines(message))
        self._missing_bytes = head.length(message)
        self.rest = b""
        return self._gather(raw[end:])

    def _gather(self, data: bytes) -> Found:
        assert self._post is not None  # noqa: S101  # its head was read
        missing = self._missing_bytes
        self._pieces.append(data[:missing])
        self._missing_bytes -= len(data)
        if self._missing_bytes > 0:
            return Unfinished.PART
        post, self.rest = self._post._replace(body=b"".join(self._pieces)), data[missing:]
        self._post, self._pieces = None, []
        return post


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


def _digest(message: RawRequestMessage) -> bytes | None:
    try:
        return http.bearer_digest(message.headers)
    except errors.UnauthenticatedError:
        return None
