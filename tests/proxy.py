"""A TCP proxy in front of PostgreSQL that breaks connections; it runs in the test's own loop."""

from __future__ import annotations

import asyncio
import contextlib
import urllib.parse
from collections.abc import AsyncIterator, Iterator

from tests import links


class Proxy(links.Faults):
    """Listens for callers; the faults are switched on and off at any time."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._target = url
        self.url = url
        self._links: set[links.Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_over = False

    def cut_all(self) -> None:
        """Resets every connection that is there now."""
        for link in self._links:
            link.cut()

    @contextlib.contextmanager
    def black_hole(self) -> Iterator[None]:
        """Callers are accepted and all they say is swallowed, as by a network that drops packets.

        The server does not even learn who hung up. Afterwards what was swallowed from is cut.
        """
        self.is_passable.clear()
        try:
            yield
        finally:
            self.cut_all()
            self.is_passable.set()

    @contextlib.asynccontextmanager
    async def cutting(self, *, every_seconds: float) -> AsyncIterator[None]:
        """Resets all again and again, as a serverless database does that moves or falls asleep."""

        async def cut() -> None:
            while True:
                await asyncio.sleep(every_seconds)
                self.cut_all()

        cutter = asyncio.create_task(cut())
        try:
            yield
        finally:
            cutter.cancel()

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Takes callers on a free port for as long as the block lasts."""
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=links.CHUNK_BYTES)
        target = urllib.parse.urlsplit(self._target)
        here = f"{target.netloc.rpartition('@')[0]}@127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self.url = urllib.parse.urlunsplit((target.scheme, here, target.path, "", ""))
        try:
            yield
        finally:
            self._is_over = True
            # asyncio loses a caller whom it has accepted when the server closes: let none be under way.
            for one in server.sockets:
                asyncio.get_running_loop().remove_reader(one.fileno())
            await asyncio.sleep(0.01)
            server.close()
            self.is_passable.set()
            self.cut_all()
            await asyncio.gather(*self._tasks)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to the server itself: on its unix socket, or on TCP."""
        target = urllib.parse.urlsplit(self._target)
        named = dict(urllib.parse.parse_qsl(target.query))
        if folder := named.get("host"):
            path = f"{folder}/.s.PGSQL.{named.get('port', 5432)}"
            return await asyncio.open_unix_connection(path, limit=links.CHUNK_BYTES)
        return await asyncio.open_connection(
            target.hostname, target.port or 5432, limit=links.CHUNK_BYTES
        )

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_over:
            # Accepted in the moment of the end: nobody would wait for it to close.
            writer.transport.abort()
            return
        self.counts.connections += 1
        link = links.Link(self, self._connect, reader, writer)
        self._links.add(link)
        task = asyncio.create_task(link.run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: self._links.discard(link))


@contextlib.asynccontextmanager
async def in_front_of(url: str) -> AsyncIterator[Proxy]:
    """A proxy to this database; its own `url` leads through it."""
    proxy = Proxy(url)
    async with proxy.listening():
        yield proxy
