"""A phone's connection: plain requests at a door are answered here, without the cost of a web framework.

A phone sends the same small request for as long as it lives. Through aiohttp each costs two tasks,
a request, a routing and a response object, which together were two thirds of what a durable ping
costs. So:

1. Heads go to aiohttp's own parser (reading.py); the same head again, but for query, token and length,
   needs no parsing (head.py).
2. One whole GET or POST at a door, neither compressed nor chunked, is let in, decoded and queued in
   the same call, and answered in the call in which its batch has committed: no task waits for it.
3. Anything else (another path, an upgrade, a broken head) was not acted upon yet: the connection is
   handed to aiohttp with all its bytes, for good.
4. What is not whole is waited for, but not for long: `expire` is called by whoever owns us.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import NamedTuple, Protocol

from typing_extensions import override

from geoingest import errors, http
from geoingest.ingest import door, posted, reading, response, submission

log = logging.getLogger(__name__)

_NEVER = float("inf")


class Limits(NamedTuple):
    """How much of one request is read, for how long, and how long a connection may be silent."""

    max_body_bytes: int
    body_timeout_seconds: float
    keepalive_seconds: float


class Owner(Protocol):
    """Whoever holds the connections: told when one comes, goes, or is handed on."""

    doors: door.Doors
    limits: Limits

    def came(self, connection: Connection) -> None: ...

    def went(self, connection: Connection) -> None: ...

    def other(self, deadline: float) -> asyncio.Protocol:
        """A connection of aiohttp's; by then it must have the head that has begun."""
        ...


class Connection(asyncio.Protocol):
    """One socket, and the request on it that waits for its verdict."""

    def __init__(self, owner: Owner) -> None:
        self.transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self._owner = owner
        self._reading = reading.Reading(owner.doors, owner.limits.max_body_bytes)
        self._is_within_request = False
        self._early = b""
        self._is_paused = False
        self._given: posted.Posted | None = None
        self._reply: door.Reply | None = None
        self._started = 0.0
        self.is_busy = False
        # When `expire` is due, in the loop's time.
        self.deadline = _NEVER

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  # for the type checker
        self.transport = transport
        self._owner.came(self)
        self._rest()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self._owner.went(self)

    @override
    def pause_writing(self) -> None:
        # Hundreds of answers that it does not read: no phone does that.
        if self.transport is not None:
            self.transport.abort()

    @override
    def data_received(self, data: bytes) -> None:
        if self.transport is None:
            # What came too early is read later; by then the phone may be gone.
            return
        if self.is_busy or self._early:
            # Sent before the answer to the last one: it waits, and nothing behind it is read.
            self._early += data
            self._pause()
            return
        self._read(data)

    def expire(self) -> None:
        """It was silent for too long: a half-sent body is told so, everything else just ends."""
        unfinished = self._reading.unfinished
        if unfinished is not None:
            self._begin(unfinished)
            self._answer_problem(http.problem(self._owner.doors[unfinished.path].late()))
        else:
            self.close()

    def close(self) -> None:
        """Ends the connection, after the answer if one is due."""
        if self.transport is not None and not self.is_busy:
            self.transport.close()

    def abort(self) -> None:
        """Ends the connection now."""
        if self.transport is not None:
            self.transport.abort()

    def done(self) -> bool:
        """Never: an answer that nobody reads any more is counted like every other."""
        return False

    def set_result(self, verdict: submission.Verdict) -> None:
        """The batch has committed: the phone is told."""
        assert self._reply is not None  # noqa: S101  # only what was taken has a verdict
        self._answer(200, self._reply.content_type, self._reply.encode(verdict), {}, closes=False)

    def set_exception(self, error: errors.ServiceError) -> None:
        """The batch did not commit, or that is not certain: the phone keeps its pings."""
        self._answer_problem(http.problem(error))

    def _read(self, data: bytes) -> None:
        found = self._reading.feed(data)
        if isinstance(found, posted.Posted):
            self._early, self._reading.rest = self._reading.rest, b""
            self._take(found)
            return
        # All that came early is read.
        self._resume()
        if found is reading.Unfinished.FOREIGN:
            self._hand_on(self._reading.rest)
        elif not self._is_within_request:
            self._is_within_request = True
            # Headers may not take longer than silence may.
            due = self._loop.time() + self._owner.limits.body_timeout_seconds
            self.deadline = min(self.deadline, due)

    def _read_early(self) -> None:
        early, self._early = self._early, b""
        if self.transport is not None:
            self._read(early)

    def _pause(self) -> None:
        if not self._is_paused:
            self._is_paused = True
            self._of_transport().pause_reading()

    def _resume(self) -> None:
        if self._is_paused:
            self._is_paused = False
            self._of_transport().resume_reading()

    def _take(self, given: posted.Posted) -> None:
        self._begin(given)
        try:
            one = self._owner.doors[given.path]
            self._reply = one.take(one.enter(given), given, self)
            if self._reply.is_due:
                self.set_result(door.NOTHING)
        except errors.HttpError as exc:
            self._answer_problem(http.problem(exc))
        except Exception:  # the root of a request: the caller gets an answer whatever broke
            log.exception("request failed")
            self._answer_problem(http.internal_problem())

    def _begin(self, given: posted.Posted) -> None:
        self._given = given
        self._started = time.perf_counter()
        self.is_busy = True
        self._is_within_request = False
        self.deadline = _NEVER
        http.traffic.under_way += 1

    def _answer_problem(self, problem: http.Problem) -> None:
        self._answer(
            problem.status,
            http.PROBLEM,
            problem.body,
            problem.headers,
            closes=problem.closes_connection,
        )

    def _answer(
        self, status: int, kind: str, body: bytes, headers: Mapping[str, str], *, closes: bool
    ) -> None:
        assert self._given is not None  # noqa: S101  # only what was begun is answered
        method, route = self._given.method, self._owner.doors[self._given.path].route
        http.traffic.under_way -= 1
        self.is_busy = False
        self._given = self._reply = None
        counted = http.counters(method, route, status)
        counted.answered()
        counted.lasted(time.perf_counter() - self._started)
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        closes = closes or http.traffic.is_draining
        transport.write(response.encode(status, kind, body, headers, closes=closes))
        if closes:
            transport.close()
            return
        self._rest()
        if self._early:
            # Not at once: each of many may be answered before it returns.
            self._loop.call_soon(self._read_early)
        else:
            self._resume()

    def _rest(self) -> None:
        self.deadline = self._loop.time() + self._owner.limits.keepalive_seconds

    def _hand_on(self, raw: bytes) -> None:
        transport = self._of_transport()
        self._owner.went(self)
        due = self._loop.time() + self._owner.limits.body_timeout_seconds
        other = self._owner.other(min(self.deadline, due))
        transport.set_protocol(other)
        other.connection_made(transport)
        other.data_received(raw)

    def _of_transport(self) -> asyncio.Transport:
        assert self.transport is not None  # noqa: S101  # data comes only while it is there
        return self.transport
