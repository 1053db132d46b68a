"""POST /v1/pings: who is asking, what they send, and the answer after the commit."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Container
from typing import NamedTuple, Protocol

from aiohttp import ClientPayloadError, web

from geoingest import errors, http, metrics, ping
from geoingest.ingest import answers, batcher, decode

PATH = "/v1/pings"
_LINES = ("application/x-ndjson", "application/ndjson", "application/jsonl")
_DAY_US = 86_400_000_000


class Senders(Protocol):
    """The port to access: who a token belongs to, and which students there are."""

    @property
    def students(self) -> Container[int]: ...

    def sender(self, digest: bytes) -> ping.Sender | None:
        """None for an unknown or revoked token; StaleCredentialsError when that cannot be known."""
        ...


class Terms(NamedTuple):
    """What one request may hold."""

    detail_days: int
    max_future_seconds: float
    max_body_bytes: int
    max_body_pings: int
    body_timeout_seconds: float


class Endpoints:
    """The write side's handler."""

    def __init__(self, senders: Senders, queue: batcher.Batcher, terms: Terms) -> None:
        self._senders = senders
        self._queue = queue
        self._terms = terms
        self._oldest_us = terms.detail_days * _DAY_US
        self._newest_us = round(terms.max_future_seconds * 1e6)

    async def post_pings(self, request: web.Request) -> web.Response:
        """Answers 200 once every accepted ping of the body is committed."""
        sender = self._senders.sender(http.bearer_digest(request))
        if sender is None:
            raise errors.UnauthenticatedError
        body = await self._body(request)
        now_us = time.time_ns() // 1000 - ping.EPOCH_UNIX_US
        decoded = decode.decode(
            body,
            lines=request.content_type in _LINES,
            terms=ping.Admission(
                sender,
                self._senders.students,
                now_us,
                now_us - self._oldest_us,
                now_us + self._newest_us,
            ),
            max_pings=self._terms.max_body_pings,
        )
        if decoded.ignored:
            metrics.pings_ignored_fields.inc(len(decoded.ignored))
        verdict = await self._queue.submit(decoded, len(body))
        return web.Response(body=answers.encode(decoded, verdict), content_type=http.JSON)

    async def _body(self, request: web.Request) -> bytes:
        try:
            # Nearly always the body came with the headers: no timer, no waiting.
            if request.content.is_eof():
                return self._sized(request.content.read_nowait())
            async with asyncio.timeout(self._terms.body_timeout_seconds):
                return await request.read()
        except TimeoutError as exc:
            raise errors.BodyTimeoutError from exc
        except (ClientPayloadError, web.RequestPayloadError, ConnectionError) as exc:
            # Nothing more to read: the server would trip over the same error again.
            request.content.feed_eof()
            raise errors.BrokenBodyError from exc

    def _sized(self, body: bytes) -> bytes:
        if len(body) > self._terms.max_body_bytes:
            raise errors.BodyTooLargeError
        return body


def routes(endpoints: Endpoints) -> list[web.RouteDef]:
    """The route table of the write side."""
    return [web.post(PATH, endpoints.post_pings)]
