"""A TCP proxy in front of PostgreSQL that breaks connections at exact moments of the protocol.

It runs in the test's own loop. After the start-up message each message of the protocol is framed, a
byte of type and its length, so that the proxy knows where it is:

* a copy ends with the client's CopyDone: one that is cut there has sent rows and is rolled back;
* a commit ends with CommandComplete of COPY, INSERT or COMMIT and ReadyForQuery outside of any
  transaction: an answer that is swallowed there tells of rows that are committed.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import urllib.parse
from collections.abc import AsyncIterator, Callable, Iterator

_CHUNK_BYTES = 2**20
_HEAD_BYTES = 5
# Requests for TLS and GSSAPI come before the start-up message; N is no.
_ENCRYPTION = (80877103, 80877104)
_WRITES = (b"COPY", b"INSERT", b"COMMIT")


@dataclasses.dataclass
class Counts:
    """What went through, and what did not."""

    connections: int = 0
    cut: int = 0
    copies: int = 0
    copies_cut: int = 0
    commits: int = 0
    answers_swallowed: int = 0
    bytes_swallowed: int = 0


class Proxy:
    """The faults, switched on and off at any time, and the counts of what they did."""

    def __init__(self, url: str) -> None:
        self._target = url
        self.url = url
        self.counts = Counts()
        # Every chunk takes so much longer, either way.
        self.latency_seconds = 0.0
        # Every n-th copy is cut before its CopyDone; 0: none.
        self.cut_copies = 0
        # Every n-th commit is done and its answer swallowed with the connection; 0: none.
        self.cut_answers = 0
        self.is_passable = asyncio.Event()
        self.is_passable.set()
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()

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
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=_CHUNK_BYTES)
        target = urllib.parse.urlsplit(self._target)
        here = f"{target.netloc.rpartition('@')[0]}@127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self.url = urllib.parse.urlunsplit((target.scheme, here, target.path, "", ""))
        try:
            yield
        finally:
            server.close()
            self.is_passable.set()
            self.cut_all()
            await asyncio.gather(*self._tasks)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to the server itself: on its unix socket, or on TCP."""
        target = urllib.parse.urlsplit(self._target)
        named = dict(urllib.parse.parse_qsl(target.query))
        if folder := named.get("host"):
            path = f"{folder}/.s.PGSQL.{named.get('port', 5432)}"
            return await asyncio.open_unix_connection(path, limit=_CHUNK_BYTES)
        return await asyncio.open_connection(
            target.hostname, target.port or 5432, limit=_CHUNK_BYTES
        )

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.counts.connections += 1
        link = _Link(self, reader, writer)
        self._links.add(link)
        task = asyncio.create_task(link.run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: self._links.discard(link))


class _Link:
    """One client's connection and the one to the server that belongs to it."""

    def __init__(
        self, proxy: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._proxy = proxy
        self._client = reader
        self._writers = [writer]
        # The answer of a write is held back until it is known whether it tells of a commit.
        self._held: list[bytes] = []

    def cut(self) -> None:
        """Resets both ends; the pumps then find nothing more to read."""
        self._proxy.counts.cut += 1
        for writer in self._writers:
            writer.transport.abort()

    async def run(self) -> None:
        """Passes on what both ends say, until one of them ends."""
        with contextlib.suppress(OSError, EOFError):
            await self._proxy.is_passable.wait()
            start_up = await self._start_up()
            server, writer = await self._proxy.connect()
            self._writers.append(writer)
            writer.write(start_up)
            ends = (
                self._pump(self._client, writer, self._let_from_client),
                self._pump(server, self._writers[0], self._let_from_server),
            )
            pumps = [asyncio.create_task(one) for one in ends]
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
        for one in self._writers:
            one.close()

    async def _start_up(self) -> bytes:
        while True:
            length = await self._client.readexactly(4)
            rest = await self._client.readexactly(int.from_bytes(length) - 4)
            if int.from_bytes(rest[:4]) not in _ENCRYPTION:
                return length + rest
            self._writers[0].write(b"N")

    async def _pump(
        self,
        source: asyncio.StreamReader,
        target: asyncio.StreamWriter,
        let: Callable[[bytes], bytes],
    ) -> None:
        proxy, buffer = self._proxy, bytearray()
        while chunk := await source.read(_CHUNK_BYTES):
            if proxy.latency_seconds:
                await asyncio.sleep(proxy.latency_seconds)
            if not proxy.is_passable.is_set():
                proxy.counts.bytes_swallowed += len(chunk)
                continue
            buffer += chunk
            while len(buffer) >= _HEAD_BYTES:
                size = 1 + int.from_bytes(buffer[1:_HEAD_BYTES])
                if len(buffer) < size:
                    break
                target.write(let(bytes(buffer[:size])))
                del buffer[:size]
            await target.drain()
        await proxy.is_passable.wait()

    def _let_from_client(self, message: bytes) -> bytes:
        """The message, or nothing more at all."""
        proxy = self._proxy
        if message[:1] == b"c":
            proxy.counts.copies += 1
            if _is_due(proxy.counts.copies, proxy.cut_copies):
                proxy.counts.copies_cut += 1
                self.cut()
                raise ConnectionAbortedError
        return message

    def _let_from_server(self, message: bytes) -> bytes:
        """The message, with what was held back before it; or nothing yet; or nothing more at all."""
        kind, proxy = message[:1], self._proxy
        if not self._held and not (kind == b"C" and message[5:].startswith(_WRITES)):
            return message
        self._held.append(message)
        if kind != b"Z":
            return b""
        answer, self._held = b"".join(self._held), []
        if message[5:] == b"I":
            proxy.counts.commits += 1
            if _is_due(proxy.counts.commits, proxy.cut_answers):
                proxy.counts.answers_swallowed += 1
                self.cut()
                raise ConnectionAbortedError
        return answer


def _is_due(count: int, every: int) -> bool:
    return every > 0 and count % every == 0


@contextlib.asynccontextmanager
async def in_front_of(url: str) -> AsyncIterator[Proxy]:
    """A proxy to this database; its own `url` leads through it."""
    proxy = Proxy(url)
    async with proxy.listening():
        yield proxy
