"""Everybody who connects to the public port comes here first; see connection.py."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from aiohttp import web
from typing_extensions import override

from geoingest.ingest import connection, door, onward

_SWEEP_SECONDS = 1.0


class Reception:
    """Makes connections, ends those that are silent for too long, and closes all at the end."""

    def __init__(
        self,
        doors: door.Doors,
        limits: connection.Limits,
        other: Callable[[], web.RequestHandler],
    ) -> None:
        self.doors = doors
        self.limits = limits
        self._other = other
        self._connections: set[connection.Connection] = set()
        self._onward: set[onward.Onward] = set()
        self._empty = asyncio.Event()

    def __call__(self) -> connection.Connection:
        """The protocol of a new socket, as asyncio's create_server wants it."""
        return connection.Connection(self)

    def came(self, one: connection.Connection) -> None:
        """A socket was accepted."""
        self._connections.add(one)

    def went(self, one: connection.Connection) -> None:
        """It is closed, or aiohttp's from now on."""
        self._connections.discard(one)
        if not self._connections:
            self._empty.set()

    def other(self, deadline: float) -> onward.Onward:
        """Aiohttp's protocol for a connection that is handed on."""
        one = onward.Onward(
            self._other(), self, head_seconds=self.limits.body_timeout_seconds, deadline=deadline
        )
        self._onward.add(one)
        return one

    def left(self, one: onward.Onward) -> None:
        """A connection that was handed on is closed."""
        self._onward.discard(one)

    async def run(self) -> None:
        """Sweeps for as long as the process lives; ends only when cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            now = loop.time()
            for one in [one for one in self._connections if one.deadline < now]:
                one.expire()
            for late in [one for one in self._onward if one.deadline < now]:
                late.expire()

    async def close(self, *, seconds: float) -> None:
        """Ends all connections, those with an answer due when it is given or the time is up."""
        if not self._connections:
            return
        self._empty.clear()
        for one in list(self._connections):
            one.close()
        try:
            async with asyncio.timeout(seconds):
                await self._empty.wait()
        except TimeoutError:
            for one in list(self._connections):
                one.abort()


class Runner(web.AppRunner):
    """An application behind a reception: it gets the connections that the reception hands on."""

    def __init__(
        self,
        application: web.Application,
        doors: Iterable[door.Door],
        limits: connection.Limits,
        *,
        shutdown_timeout: float,
        **options: Any,  # the runner's own
    ) -> None:
        # Outermost, because only what is outside of it is not within a request.
        application.middlewares.insert(0, onward.watch)
        super().__init__(
            application,
            keepalive_timeout=limits.keepalive_seconds,
            shutdown_timeout=shutdown_timeout,
            **options,
        )
        by_path = {path: one for one in doors for path in one.paths}
        self._reception = Reception(by_path, limits, self._hand_on)
        self._shutdown_seconds = shutdown_timeout
        self._sweeping: asyncio.Task[None] | None = None

    @property
    @override
    def server(self) -> web.Server | None:
        """What a site makes a new connection's protocol with."""
        return self._reception  # type: ignore[return-value]  # called for a protocol, nothing else

    @override
    async def setup(self) -> None:
        await super().setup()
        self._sweeping = asyncio.create_task(self._reception.run())

    @override
    async def cleanup(self) -> None:
        closing = self._reception.close(seconds=self._shutdown_seconds)
        await asyncio.gather(closing, super().cleanup())
        if self._sweeping is not None:
            self._sweeping.cancel()

    def _hand_on(self) -> web.RequestHandler:
        server = super().server
        assert server is not None, "it was set up"  # noqa: S101  # before any site listens
        return server()
