"""A track written as a file while it is read, a page at a time: memory is that of one page.

A file that is cut must not look complete. Until its end is written, closing the connection resets it:
HTTP/1.0, which a proxy may speak, would take a plain close for the end, also when this process is killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from aiohttp import hdrs, web

from geoingest import errors, metrics
from geoingest.tracking import cursor, formats, replica, track

PAGE_POINTS = 1_000
# Who takes nothing for so long is gone.
_STALLED_SECONDS = 30.0
# Five seconds, which is as far as a replica may be behind.
_MOST_WAITS = 20
# What close() does, as SO_LINGER: reset at once, or the usual.
_RESET, _FINISH = struct.pack("ii", 1, 0), struct.pack("ii", 0, 0)

Answer: TypeAlias = replica.Answer[track.Page]
Ask: TypeAlias = Callable[[cursor.Cursor], Awaitable[Answer]]


async def stream(
    request: web.Request, form: formats.Format, answer: Answer, ask: Ask
) -> web.StreamResponse:
    """The whole window from its first page on; what fails from now on resets."""
    response = web.StreamResponse(
        headers={
            hdrs.CONTENT_TYPE: form.content_type,
            hdrs.CACHE_CONTROL: "no-store",
            "As-Of": formats.text(answer.as_of),
            "Source": answer.source,
        }
    )
    _when_closed(request, _RESET)
    try:
        await response.prepare(request)
        if request.method != hdrs.METH_HEAD:
            await _write(response, form, answer, ask)
    except ConnectionError:
        # The reader hung up or stalled: nobody is left to be told.
        _abort(request)
        return response
    except BaseException:
        # Raised on only to be counted.
        _abort(request)
        raise
    _when_closed(request, _FINISH)
    return response


async def _write(
    response: web.StreamResponse, form: formats.Format, answer: Answer, ask: Ask
) -> None:
    as_of, part, points = answer.as_of, answer.result.resolution, 0
    text = form.head + form.part.format(part)
    while True:
        page = answer.result
        if page.resolution != part:
            part = page.resolution
            text += form.part_end + form.part.format(part)
        await _send(response, text + "".join(map(form.point, page.points)))
        points += len(page.points)
        if page.following is None:
            break
        text, answer = "", await _as_current(ask, page.following, as_of)
    await _send(response, form.part_end + form.foot)
    metrics.track_points.observe(points)


async def _as_current(ask: Ask, after: cursor.Cursor, as_of: datetime.datetime) -> Answer:
    """A page that keeps what As-Of has promised: a server further behind is given time to come up."""
    for _ in range(_MOST_WAITS):
        answer = await ask(after)
        if answer.as_of >= as_of:
            return answer
        await asyncio.sleep(replica.PROBE_SECONDS)
    raise errors.DatabaseUnavailableError


async def _send(response: web.StreamResponse, text: str) -> None:
    try:
        async with asyncio.timeout(_STALLED_SECONDS):
            await response.write(text.encode())
    except TimeoutError as exc:
        raise ConnectionAbortedError from exc


def _when_closed(request: web.Request, linger: bytes) -> None:
    if request.transport is not None:
        # It may be closed already.
        with contextlib.suppress(OSError):
            sock = request.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


def _abort(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()
