"""What hostile clients send, each to any address of the public port, and what the service makes of it."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import re
import time
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

_DRIP_SECONDS = 0.5
# Longer than anything may take.
PATIENCE_SECONDS = 14.0
_BOMB = gzip.compress(b" " * 200_000_000)
_MEGABYTE = b" " * 2**20


class Target(NamedTuple):
    """An address, and how one is let in there."""

    method: str
    path: str
    token: str = ""
    content_type: str = "application/json"

    def head(self, *headers: str) -> bytes:
        """A request up to its body; without an end, for there may be more headers."""
        lines = [f"{self.method} {self.path} HTTP/1.1", "Host: here"]
        lines += [f"Authorization: Bearer {self.token}"] if self.token else []
        lines += [f"Content-Type: {self.content_type}", *headers]
        return "\r\n".join(lines).encode() + b"\r\n"


class End(NamedTuple):
    """What was said until the connection was closed, and after how many seconds that was."""

    said: bytes
    seconds: float

    @property
    def statuses(self) -> list[int]:
        """Of all answers."""
        return [int(one) for one in re.findall(rb"HTTP/1\.[01] ([0-9]{3}) ", self.said)]


# What is sent, piece by piece; it goes on for as long as the other side takes it.
Attack = Callable[[Target], AsyncIterator[bytes]]


async def dripped_line(target: Target) -> AsyncIterator[bytes]:
    """The request line, byte by byte, and never its end."""
    yield target.head()[:20]
    while True:
        await asyncio.sleep(_DRIP_SECONDS)
        yield b"x"


async def dripped_headers(target: Target) -> AsyncIterator[bytes]:
    """One header after the other, slowly and for ever."""
    yield target.head()
    for number in range(10**6):
        await asyncio.sleep(_DRIP_SECONDS)
        yield f"X-{number}: y\r\n".encode()


async def stalled_body(target: Target) -> AsyncIterator[bytes]:
    """A tenth of the body, and nothing more."""
    yield target.head("Content-Length: 100") + b"\r\n" + b'{"timesta'
    await asyncio.sleep(PATIENCE_SECONDS)


async def stalled_chunks(target: Target) -> AsyncIterator[bytes]:
    """The same without saying how much there is."""
    yield target.head("Transfer-Encoding: chunked") + b"\r\n2\r\n[{\r\n"
    await asyncio.sleep(PATIENCE_SECONDS)


async def dripped_body(target: Target) -> AsyncIterator[bytes]:
    """A byte now and then."""
    yield target.head("Content-Length: 100000") + b"\r\n"
    while True:
        await asyncio.sleep(_DRIP_SECONDS)
        yield b"x"


async def chunk_flood(target: Target) -> AsyncIterator[bytes]:
    """Chunks of one byte, as many as are taken."""
    yield target.head("Transfer-Encoding: chunked") + b"\r\n"
    while True:
        yield b"1\r\nx\r\n" * 10_000


async def endless_chunk_size(target: Target) -> AsyncIterator[bytes]:
    """The size of a chunk, which does not end; then one with an endless extension."""
    yield target.head("Transfer-Encoding: chunked") + b"\r\n1;"
    while True:
        yield b"x" * 2**16


async def bomb(target: Target) -> AsyncIterator[bytes]:
    """200 MB of blanks in 200 kB of gzip."""
    yield target.head(f"Content-Length: {len(_BOMB)}", "Content-Encoding: gzip") + b"\r\n"
    yield _BOMB


async def hundred_megabytes(target: Target) -> AsyncIterator[bytes]:
    """As long as it says."""
    yield target.head(f"Content-Length: {100 * 2**20}") + b"\r\n"
    for _ in range(100):
        yield _MEGABYTE


async def hundred_megabytes_in_chunks(target: Target) -> AsyncIterator[bytes]:
    """Without saying so."""
    yield target.head("Transfer-Encoding: chunked") + b"\r\n"
    for _ in range(100):
        yield b"100000\r\n" + _MEGABYTE + b"\r\n"


async def pipelined(target: Target) -> AsyncIterator[bytes]:
    """Requests without waiting for an answer, as many as are taken."""
    while True:
        yield (target.head("Content-Length: 2") + b"\r\n{}") * 500


async def both_framings(target: Target) -> AsyncIterator[bytes]:
    """A length and chunks: whoever stands before us may have believed the other."""
    head = target.head("Content-Length: 4", "Transfer-Encoding: chunked")
    yield head + b"\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: here\r\n\r\n"
    await asyncio.sleep(PATIENCE_SECONDS)


async def two_hosts(target: Target) -> AsyncIterator[bytes]:
    """Whoever stands before us may have taken the other."""
    yield target.head("Host: there", "Content-Length: 2") + b"\r\n{}"
    await asyncio.sleep(PATIENCE_SECONDS)


async def many_headers(target: Target) -> AsyncIterator[bytes]:
    """Ten thousand of them."""
    yield target.head(*(f"X-{one}: y" for one in range(10_000))) + b"\r\n"
    await asyncio.sleep(PATIENCE_SECONDS)


async def long_header(target: Target) -> AsyncIterator[bytes]:
    """One that does not end."""
    yield target.head() + b"X-Long: "
    while True:
        yield b"y" * 2**16


SLOW = (dripped_line, dripped_headers, stalled_body, stalled_chunks, dripped_body)
FAST = (
    *(chunk_flood, endless_chunk_size, bomb, hundred_megabytes, hundred_megabytes_in_chunks),
    long_header,
)
# Answered with a 400 at once.
MALFORMED = (both_framings, two_hosts, many_headers)


async def made(
    attack: Attack, target: Target, port: int, *, patience_seconds: float = PATIENCE_SECONDS
) -> End:
    """How it ends, once the service has closed the connection; or what there was when patience ended."""
    started = time.monotonic()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    said = bytearray()

    async def listen() -> None:
        with contextlib.suppress(ConnectionError):
            while piece := await reader.read(2**16):
                said.extend(piece[: max(0, 2**16 - len(said))])

    async def send() -> None:
        with contextlib.suppress(ConnectionError):
            async for piece in attack(target):
                writer.write(piece)
                await writer.drain()

    listening, sending = asyncio.create_task(listen()), asyncio.create_task(send())
    try:
        async with asyncio.timeout(patience_seconds):
            await listening
    except TimeoutError:
        pass
    finally:
        seconds = time.monotonic() - started
        sending.cancel()
        listening.cancel()
        await asyncio.wait([sending, listening])
        writer.close()
    return End(bytes(said), seconds)
