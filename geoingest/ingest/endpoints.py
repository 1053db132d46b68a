"""POST /v1/pings by way of aiohttp: compressed, chunked or otherwise unusual requests."""

from __future__ import annotations

import asyncio

from aiohttp import ClientPayloadError, web

from geoingest import errors, http
from geoingest.ingest import answers, intake, submission

PATH = "/v1/pings"
_LINES = ("application/x-ndjson", "application/ndjson", "application/jsonl")


class Endpoints:
    """The write side's handler; connection.py answers what is plain without it."""

    def __init__(self, takes: intake.Intake) -> None:
        self._intake = takes

    async def post_pings(self, request: web.Request) -> web.Response:
        """Answers 200 once every accepted ping of the body is committed."""
        sender = self._intake.sender(http.bearer_digest(request.headers))
        body = await read(request, seconds=self._intake.terms.body_timeout_seconds)
        verdict: asyncio.Future[submission.Verdict] = asyncio.get_running_loop().create_future()
        decoded = self._intake.take(
            sender, body, lines=is_lines(request.content_type), waiter=verdict
        )
        return web.Response(body=answers.encode(decoded, await verdict), content_type=http.JSON)


async def read(request: web.Request, *, seconds: float) -> bytes:
    """The whole body; BodyTimeoutError when it does not come in time, BrokenBodyError when it is cut."""
    try:
        async with asyncio.timeout(seconds):
            return await request.read()
    except TimeoutError as exc:
        raise errors.BodyTimeoutError from exc
    except (ClientPayloadError, web.RequestPayloadError, ConnectionError) as exc:
        # Nothing more to read: the server would trip over the same error again.
        request.content.feed_eof()
        raise errors.BrokenBodyError from exc


def is_lines(content_type: str) -> bool:
    """True for the names that NDJSON goes by."""
    return content_type in _LINES


def routes(endpoints: Endpoints) -> list[web.RouteDef]:
    """The route table of the write side."""
    return [web.post(PATH, endpoints.post_pings)]
