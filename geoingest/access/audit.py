"""Look-ups wait here together until they are on record: group commit without a timer.

How a question and the lane talk:

1. What is to be shown is known, and is not shown yet. Its look-ups are queued with whoever waits for them;
   a full queue, or a lane without a connection, refuses at once.
2. The lane, free, writes whatever waits with one statement, which is one commit; meanwhile the next gather.
   The statement asks once more whether the bearer sees the students, of the primary, and leaves out who is not.
3. After the commit each waiter is woken, told who is not on record, and shows the others. A write that fails, or
   whose outcome is unknown, wakes each with NotRecordedError: nothing is shown. A record of what nobody was shown
   may then be there.
4. The lane gives up its connection with whatever went wrong. Those that wait then, do so for as long as a new
   one may take; after that all are refused until there is one.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, TypeAlias

import asyncpg

from geoingest import db, errors, lookup, metrics, standby

log = logging.getLogger(__name__)

# Twice what one question may name; a guess.
MOST_WAITING = 10_000
# The longest that a connection that was lost keeps anybody waiting.
_PATIENCE_SECONDS = 0.7
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 1.0
# For the server to hear that a write was given up.
_CANCEL_SECONDS = 0.5
_unrecorded = {
    error.reason: metrics.lookups_unrecorded.labels(error.reason)
    for error in (
        errors.DatabaseUnavailableError,
        errors.NotRecordedError,
        errors.OverloadedError,
    )
}

Connection: TypeAlias = "asyncpg.Connection[db.Record]"
Connect: TypeAlias = Callable[[], Awaitable[Connection]]


# Writes one statement; of whom nothing was written, for each look-up.
Write: TypeAlias = Callable[[Connection, Sequence[lookup.Lookup]], Awaitable[list[set[int]]]]


class _Waiting(NamedTuple):
    lookup: lookup.Lookup
    # The students who are not on record.
    waiter: asyncio.Future[set[int]]


class Audit:
    """The queue between questions and the table of look-ups, with the one lane that empties it."""

    def __init__(self, connect: Connect, write: Write, *, timeout_seconds: float) -> None:
        self._connect = connect
        self._write_batch = write
        self._timeout_seconds = timeout_seconds
        self._waiting: collections.deque[_Waiting] = collections.deque()
        self._waiting_students = 0
        # Set when there is something to do: look-ups to write, or a connection to renew.
        self._news = asyncio.Event()
        self._is_open = False
        self._standby = standby.Watch()

    @property
    def is_open(self) -> bool:
        """False while nothing can be put on record, so that nothing can be shown."""
        return self._is_open

    def require_open(self) -> None:
        """DatabaseUnavailableError while nothing can be put on record: what is asked then need not be looked up."""
        if not self._is_open:
            _unrecorded[errors.DatabaseUnavailableError.reason].inc()
            raise errors.DatabaseUnavailableError

    async def record(self, one: lookup.Lookup) -> set[int]:
        """Once it is committed, the students who are left out: whom the bearer does not see at that moment.

        ServiceError when that is not certain.
        """
        if not one.rows:
            return set()
        if not self._is_open:
            raise _refusal(errors.DatabaseUnavailableError, one)
        if self._waiting and self._waiting_students + len(one.rows) > MOST_WAITING:
            raise _refusal(errors.OverloadedError, one)
        waiter: asyncio.Future[set[int]] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(one, waiter))
        self._waiting_students += len(one.rows)
        self._news.set()
        return await waiter

    async def run(self) -> None:
        """Connects, writes, and connects again; ends only when cancelled."""
        try:
            while True:
                connection = await self._connected()
                self._is_open = True
                try:
                    await self._write_all(connection)
                except Exception:  # the root of a task: a bug must not stop the lane for good
                    log.exception("audit failed; it starts again")
                finally:
                    connection.terminate()
        finally:
            self._close()

    async def _connected(self) -> Connection:
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                return await self._try_to_connect()
        except TimeoutError:
            self._close()
        log.warning("look-ups cannot be recorded, so no question is answered")
        connection = await self._try_to_connect()
        log.warning("look-ups are recorded again")
        return connection

    async def _try_to_connect(self) -> Connection:
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                connection = await self._connect()
            except db.DRIVER_ERRORS as exc:
                log.debug("no connection", extra={"reason": db.sqlstate(exc)})
            else:
                self._standby.listen(connection)
                # Lost while idle it is renewed before anybody needs it.
                connection.add_termination_listener(lambda _: self._news.set())
                return connection
            # Jitter, so that instances do not knock in step.
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311  # no secret
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    async def _write_all(self, connection: Connection) -> None:
        while not connection.is_closed():
            if not self._waiting:
                self._news.clear()
                await self._news.wait()
                continue
            batch = self._take()
            try:
                await self._write(connection, batch)
            except db.DRIVER_ERRORS as exc:
                log.warning("look-ups not recorded", extra={"reason": db.sqlstate(exc)})
                _fail(batch, errors.NotRecordedError)
                if isinstance(exc, TimeoutError):
                    # A server that waits for a standby does not notice that we are gone.
                    with contextlib.suppress(*db.DRIVER_ERRORS):
                        await connection.close(timeout=_CANCEL_SECONDS)
                return
            except BaseException:
                _fail(batch, errors.NotRecordedError)
                raise

    async def _write(self, connection: Connection, batch: Sequence[_Waiting]) -> None:
        self._standby.expect()
        async with asyncio.timeout(self._timeout_seconds):
            refused = await self._write_batch(connection, [one.lookup for one in batch])
        if not self._standby.is_confirmed:
            log.warning("no standby confirmed look-ups")
            _fail(batch, errors.NotRecordedError)
            return
        for one, students in zip(batch, refused, strict=True):
            metrics.lookups_recorded.inc(len(one.lookup.rows) - len(students))
            if not one.waiter.done():
                one.waiter.set_result(students)

    def _close(self) -> None:
        self._is_open = False
        _fail(self._take(), errors.DatabaseUnavailableError)

    def _take(self) -> list[_Waiting]:
        batch = list(self._waiting)
        self._waiting.clear()
        self._waiting_students = 0
        return batch


def _refusal(error: type[errors.ServiceError], one: lookup.Lookup) -> errors.ServiceError:
    _unrecorded[error.reason].inc(len(one.rows))
    return error()


def _fail(batch: Sequence[_Waiting], error: type[errors.ServiceError]) -> None:
    for one in batch:
        refusal = _refusal(error, one.lookup)
        if not one.waiter.done():
            one.waiter.set_exception(refusal)
