"""The doors by way of aiohttp: compressed, chunked or otherwise unusual requests."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Iterable

from aiohttp import ClientPayloadError, hdrs, web

from geoingest import errors
from geoingest.ingest import door, posted, submission


async def post(
    one: door.Door, request: web.Request, *, body_timeout_seconds: float
) -> web.Response:
    """Answers 200 once everything of the body that can be stored is committed."""
    given = posted.Posted(
        request.path,
        request.method,
        request.raw_path.partition("?")[2],
        request.content_type,
        request.headers.get(hdrs.AUTHORIZATION, "").encode(errors="surrogateescape"),
        b"",
    )
    sender = one.enter(given)
    verdict: asyncio.Future[submission.Verdict] = asyncio.get_running_loop().create_future()
    try:
        body = await _read(request, seconds=body_timeout_seconds)
    except TimeoutError as exc:
        raise one.late from exc
    except web.HTTPRequestEntityTooLarge:
        reply = one.take_unread(sender, given, verdict)
    else:
        reply = one.take(sender, given._replace(body=body), verdict)
    settled = door.NOTHING if reply.is_due else await verdict
    return web.Response(body=reply.encode(settled), content_type=reply.content_type)


async def _read(request: web.Request, *, seconds: float) -> bytes:
    """The whole body; TimeoutError when it does not come in time, BrokenBodyError when it is cut."""
    try:
        async with asyncio.timeout(seconds):
            return await request.read()
    except (ClientPayloadError, web.RequestPayloadError, ConnectionError) as exc:
        # Nothing more to read: the server would trip over the same error again.
        request.content.feed_eof()
        raise errors.BrokenBodyError from exc


def routes(doors: Iterable[door.Door], *, body_timeout_seconds: float) -> list[web.RouteDef]:
    """The route table of the write side."""
    return [
        web.route(
            method,
            path,
            functools.partial(post, one, body_timeout_seconds=body_timeout_seconds),
        )
        for one in doors
        for path in one.paths
        for method in sorted(one.methods or {hdrs.METH_ANY})
    ]
