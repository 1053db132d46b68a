"""The bytes of a phone's connection become whole plain posts, or turn out to be aiohttp's to answer."""

from __future__ import annotations

import asyncio
import enum
from typing import TypeAlias

from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import HttpRequestParser, RawRequestMessage
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.streams import StreamReader

from geoingest import errors, http
from geoingest.ingest import head

# A head that is longer is aiohttp's to refuse.
_LONGEST_HEAD_BYTES = 16 * 1024


class Unfinished(enum.Enum):
    """What the bytes so far are, when they are no whole plain post."""

    # More of it must come.
    PART = enum.auto()
    # Something else: another path, pipelining, an upgrade, compressed, chunked, or no HTTP at all.
    FOREIGN = enum.auto()


Found: TypeAlias = head.Post | Unfinished


class Reading:
    """One request after the other; no HTTP is parsed here but by aiohttp's own parser."""

    def __init__(
        self, protocol: BaseProtocol, loop: asyncio.AbstractEventLoop, max_body_bytes: int
    ) -> None:
        self._max_body_bytes = max_body_bytes
        # What is compressed is not plain: it must not unfold here. No body that is read here is
        # longer than the limit, so that its stream never asks for a pause.
        self._parser: HttpRequestParser | None = HttpRequestParser(
            protocol, loop, max_body_bytes, auto_decompress=False
        )
        self._head: head.Head | None = None
        self._request: tuple[RawRequestMessage, StreamReader] | None = None
        # All of the request that has come, for whoever has to read it instead.
        self.raw = b""

    @property
    def is_within_body(self) -> bool:
        """True when the headers of a plain post are there and its body is not."""
        return self._request is not None

    def feed(self, data: bytes) -> Found:
        """Takes what came last."""
        if self._head is not None and not self.raw:
            post = self._head.read(data)
            if post is not None:
                return post
        self.raw += data
        found = self._parse(data)
        if isinstance(found, head.Post):
            self.raw, self._request = b"", None
        return found

    def end(self) -> None:
        """Nothing more is read.

        The parser knows the protocol that we belong to. A circle waits for the collector, and when
        all of a school's phones are gone at a bell, that is one long pause for everybody else.
        """
        self._parser = self._request = None

    def _parse(self, data: bytes) -> Found:
        assert self._parser is not None  # noqa: S101  # nothing comes after the end
        try:
            found, upgraded, _tail = self._parser.feed_data(data)
        except HttpProcessingError:
            return Unfinished.FOREIGN
        if self._request is not None:
            found = [self._request, *found]
        if not found and len(self.raw) <= _LONGEST_HEAD_BYTES:
            return Unfinished.PART
        if len(found) != 1 or upgraded:
            return Unfinished.FOREIGN
        self._request = found[0]
        return self._post(*found[0])

    def _post(self, message: RawRequestMessage, payload: StreamReader) -> Found:
        if not head.is_plain(message, max_body_bytes=self._max_body_bytes):
            return Unfinished.FOREIGN
        if not payload.is_eof():
            return Unfinished.PART
        if not head.is_alone(message, self.raw):
            # The parser has already read into the next one.
            return Unfinished.FOREIGN
        self._head = head.remember(message, self.raw, max_body_bytes=self._max_body_bytes)
        return head.Post(_digest(message), payload.read_nowait(), head.is_lines(message))


def _digest(message: RawRequestMessage) -> bytes | None:
    try:
        return http.bearer_digest(message.headers)
    except errors.UnauthenticatedError:
        return None
