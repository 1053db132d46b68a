"""The doors by way of aiohttp: compressed, chunked or otherwise unusual requests."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Iterable

from aiohttp import hdrs, web

from geoingest import http
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
        body = await http.read_body(request, seconds=body_timeout_seconds)
    except TimeoutError as exc:
        raise one.late from exc
    except web.HTTPRequestEntityTooLarge:
        reply = one.take_unread(sender, given, verdict)
    else:
        reply = one.take(sender, given._replace(body=body), verdict)
    settled = door.NOTHING if reply.is_due else await verdict
    return web.Response(body=reply.encode(settled), content_type=reply.content_type)


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
