"""A phone's connection: keep-alive, one request at a time, reading just enough of each answer."""

from __future__ import annotations

import asyncio
from typing import Protocol

from typing_extensions import override

# What an answer's end is known by; longer than every ending that is looked for.
TAIL_BYTES = 64
# One for all connections: what was read is used up before another reads.
_space = bytearray(256 * 1024)
_view = memoryview(_space)
_RECONNECT_SECONDS = 0.5
_LENGTH = b"content-length:"
_RETRY_AFTER = b"retry-after:"
_WITHOUT_BODY = (204, 304)
# Answers, not errors: the phone keeps its pings and comes again.
OVER_ITS_RATE, OVERLOADED = 429, 503
REFUSALS = (OVER_ITS_RATE, OVERLOADED)


class Owner(Protocol):
    """Whoever decides what a connection sends next."""

    def answered(self, phone: Phone, status: int, tail: bytes) -> None:
        """A whole answer has come; `tail` is the end of its body."""
        ...

    def lost(self, phone: Phone) -> None:
        """The connection is closed; an answer it waited for will not come."""
        ...


class Phone(asyncio.BufferedProtocol):
    """One socket. `due` belongs to the owner: when the request under way was meant to start."""

    __slots__ = (
        "_head",
        "_missing",
        "_owner",
        "_status",
        "_tail",
        "_transport",
        "due",
        "number",
        "retry_after_seconds",
    )

    def __init__(self, owner: Owner, number: int) -> None:
        self.number = number
        self.due: float | None = None
        # What the last answer asked for, if it was a refusal.
        self.retry_after_seconds = 0.0
        self._owner = owner
        self._transport: asyncio.WriteTransport | None = None
        self._head = b""
        self._status = 0
        self._missing = 0
        self._tail = b""

    @property
    def is_free(self) -> bool:
        """True when a request can be sent now."""
        return self.due is None and self._transport is not None

    def send(self, request: bytes, due: float) -> None:
        """Sends a request; the phone is busy until the owner learns of its answer."""
        assert self._transport is not None, "only a free phone sends"
        self.due = due
        self._transport.write(request)

    def close(self) -> None:
        """Closes the socket; the owner is told."""
        if self._transport is not None:
            self._transport.close()

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._head, self._missing = b"", 0
        self._owner.lost(self)

    @override
    def get_buffer(self, sizehint: int) -> memoryview:
        return _view

    @override
    def buffer_updated(self, nbytes: int) -> None:
        if self._missing:
            self._missing -= nbytes
            end = bytes(_view[max(0, nbytes - TAIL_BYTES) : nbytes])
            self._tail = (self._tail + end)[-TAIL_BYTES:]
        elif not self._read_head(self._head + bytes(_view[:nbytes])):
            return
        if self._missing <= 0:
            self._missing = 0
            self._owner.answered(self, self._status, self._tail)

    def _read_head(self, data: bytes) -> bool:
        """Takes status and length; False while the headers are not complete."""
        end = data.find(b"\r\n\r\n")
        if end < 0:
            self._head = data
            return False
        self._head = b""
        head = data[:end].lower()
        self._status = int(head[9:12])
        if self._status in REFUSALS:
            self.retry_after_seconds = float(_value(head, _RETRY_AFTER) or 0)
        told = _value(head, _LENGTH)
        if told is not None:
            length = int(told)
        elif self._status in _WITHOUT_BODY:
            length = 0
        else:
            # A body without a length ends we know not where: this connection is of no more use.
            self.close()
            return False
        self._missing = end + 4 + length - len(data)
        self._tail = data[-TAIL_BYTES:]
        return True


def _value(head: bytes, name: bytes) -> bytes | None:
    at = head.find(name)
    return None if at < 0 else head[at + len(name) :].partition(b"\r")[0]


async def connect_again(phone: Phone, *, host: str, port: int) -> None:
    """Opens its connection anew, however often that takes."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            await loop.create_connection(lambda: phone, host, port)
        except OSError:
            await asyncio.sleep(_RECONNECT_SECONDS)
        else:
            return


async def connect(
    owner: Owner, *, host: str, port: int, count: int, per_second: float
) -> list[Phone]:
    """Opens the connections at a steady pace, as phones come online."""
    loop = asyncio.get_running_loop()
    started_at = loop.time()

    async def one(number: int) -> Phone:
        await asyncio.sleep(started_at + number / per_second - loop.time())
        _, phone = await loop.create_connection(lambda: Phone(owner, number), host, port)
        return phone

    return list(await asyncio.gather(*map(one, range(count))))
