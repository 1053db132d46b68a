"""One connection through the proxy, which knows where in PostgreSQL's protocol it is.

After the start-up message each message is framed, a byte of type and its length:

* a copy ends with the client's CopyDone: one that is cut there has sent rows and is rolled back;
* a commit ends with CommandComplete of COPY, INSERT or COMMIT and ReadyForQuery outside of any
  transaction: an answer that is swallowed there tells of rows that are committed.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import Awaitable, Callable

CHUNK_BYTES = 2**20
_HEAD_BYTES = 5
# Requests for TLS and GSSAPI come before the start-up message; N is no.
_ENCRYPTION = (80877103, 80877104)
_WRITES = (b"COPY", b"INSERT", b"COMMIT")

Connect = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


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


class Faults:
    """What is switched on for all connections, and the counts of what it did."""

    def __init__(self) -> None:
        self.counts = Counts()
        # Every chunk takes so much longer, either way.
        self.latency_seconds = 0.0
        # Every n-th copy is cut before its CopyDone; 0: none.
        self.cut_copies = 0
        # Every n-th commit is done and its answer swallowed with the connection; 0: none.
        self.cut_answers = 0
        self.is_passable = asyncio.Event()
        self.is_passable.set()


class Link:
    """One client's connection and the one to the server that belongs to it."""

    def __init__(
        self,
        faults: Faults,
        connect: Connect,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._faults = faults
        self._connect = connect
        self._client = reader
        self._writers = [writer]
        # The answer of a write is held back until it is known whether it tells of a commit.
        self._held: list[bytes] = []

    def cut(self) -> None:
        """Resets both ends; the pumps then find nothing more to read."""
        self._faults.counts.cut += 1
        for writer in self._writers:
            writer.transport.abort()

    async def run(self) -> None:
        """Passes on what both ends say, until one of them ends."""
        with contextlib.suppress(OSError, EOFError):
            await self._faults.is_passable.wait()
            start_up = await self._start_up()
            server, writer = await self._connect()
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
        faults, buffer = self._faults, bytearray()
        while chunk := await source.read(CHUNK_BYTES):
            if faults.latency_seconds:
                await asyncio.sleep(faults.latency_seconds)
            if not faults.is_passable.is_set():
                faults.counts.bytes_swallowed += len(chunk)
                continue
            buffer += chunk
            while len(buffer) >= _HEAD_BYTES:
                size = 1 + int.from_bytes(buffer[1:_HEAD_BYTES])
                if len(buffer) < size:
                    break
                target.write(let(bytes(buffer[:size])))
                del buffer[:size]
            await target.drain()
        await faults.is_passable.wait()

    def _let_from_client(self, message: bytes) -> bytes:
        """The message, or nothing more at all."""
        faults = self._faults
        if message[:1] == b"c":
            faults.counts.copies += 1
            if _is_due(faults.counts.copies, faults.cut_copies):
                faults.counts.copies_cut += 1
                self.cut()
                raise ConnectionAbortedError
        return message

    def _let_from_server(self, message: bytes) -> bytes:
        """The message, with what was held back before it; or nothing yet; or nothing more at all."""
        kind, faults = message[:1], self._faults
        if not self._held and not (kind == b"C" and message[5:].startswith(_WRITES)):
            return message
        self._held.append(message)
        if kind != b"Z":
            return b""
        answer, self._held = b"".join(self._held), []
        if message[5:] == b"I":
            faults.counts.commits += 1
            if _is_due(faults.counts.commits, faults.cut_answers):
                faults.counts.answers_swallowed += 1
                self.cut()
                raise ConnectionAbortedError
        return answer


def _is_due(count: int, every: int) -> bool:
    return every > 0 and count % every == 0
