"""A connection that was handed on to aiohttp, which waits for the end of a request's head as long as for a request.

So whoever sends one header now and then would keep its socket for ever. Here it is known when a head has begun:
with the first bytes that come while no request is being answered. And when it is whole: aiohttp then calls the
application, whose outermost middleware is `watch` (the reception sees to that).

Two more things cost much and are of no use to anybody: chunks of a few bytes, each of which aiohttp handles by
itself, and unpacking the rest of a body that was refused, which it reads so that its sender hears why.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler
from typing_extensions import override

_NEVER = float("inf")
_LINE_END = b"\r\n"
# Chunks of ten bytes have a line's end for each eight. No body of ours has so many, or not for long.
_DENSE_BYTES = 8
_MOST_DENSE_BYTES = 64 * 1024


class Owner(Protocol):
    """Whoever ends what is late; told when a connection is gone."""

    def left(self, one: Onward) -> None: ...


class Onward(asyncio.Protocol):
    """Passes everything on to aiohttp's own protocol, and looks at the clock."""

    def __init__(
        self, inner: web.RequestHandler, owner: Owner, *, head_seconds: float, deadline: float
    ) -> None:
        self._inner = inner
        self._owner = owner
        self._head_seconds = head_seconds
        self._loop = asyncio.get_running_loop()
        self._requests = 0
        # Of the request that is being read, how much is hardly anything but ends of lines.
        self._dense_bytes = 0
        self._transport: asyncio.Transport | None = None
        # When a head that has begun must be whole, in the loop's time; the first began before.
        self.deadline = deadline

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  # for the type checker
        self._transport = transport
        self._inner.connection_made(transport)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._owner.left(self)
        self._inner.connection_lost(exc)

    @override
    def data_received(self, data: bytes) -> None:
        if not self._requests and self.deadline == _NEVER:
            self.deadline = self._loop.time() + self._head_seconds
        if data.count(_LINE_END) * _DENSE_BYTES > len(data):
            self._dense_bytes += len(data)
            if self._dense_bytes > _MOST_DENSE_BYTES and self._transport is not None:
                self._transport.abort()
                return
        self._inner.data_received(data)

    @override
    def eof_received(self) -> None:
        self._inner.eof_received()

    @override
    def pause_writing(self) -> None:
        self._inner.pause_writing()

    @override
    def resume_writing(self) -> None:
        self._inner.resume_writing()

    def begin(self) -> None:
        """A head was whole: its request is being answered."""
        self._requests += 1
        self._dense_bytes = 0
        self.deadline = _NEVER

    def end(self) -> None:
        """It is answered."""
        self._requests -= 1

    def stop_reading(self) -> None:
        """Whatever else comes is not looked at."""
        if self._transport is not None:
            self._transport.pause_reading()

    def expire(self) -> None:
        """The head took too long: there is nobody to be told."""
        if self._transport is not None:
            self._transport.close()


@web.middleware
async def watch(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Tells the connection when a request begins and ends; only of one that was handed on."""
    protocol = request.transport.get_protocol() if request.transport is not None else None
    if not isinstance(protocol, Onward):
        return await handler(request)
    protocol.begin()
    try:
        response = await handler(request)
    finally:
        protocol.end()
    if hdrs.CONTENT_ENCODING in request.headers and not request.content.is_eof():
        protocol.stop_reading()
        request.content.feed_eof()
        response.force_close()
    return response
