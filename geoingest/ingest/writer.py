"""A batch becomes committed rows: COPY, or ON CONFLICT where rows may be stored already.

What happens when a write does not simply commit:

* 23505 unique violation: the same batch again by ON CONFLICT, which counts the duplicates. The next
  batches go the same way until one holds no duplicate: a refused COPY leaves dead rows behind.
* The connection is lost: the outcome is unknown, never "not stored". Again by ON CONFLICT on a new
  connection. If there is none in time, or the write itself took too long, WriteFailedError: the sender
  comes again and the key makes that safe.
* A synchronous standby was waited for in vain, until our own limit or until somebody cancelled the wait,
  which lets the COMMIT succeed with a warning: WriteFailedError. The rows are here and perhaps nowhere
  else; as duplicates they are confirmed once a standby has them.
* A data error: halves, down to the one ping that is not taken; it is quarantined, the rest stored.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Awaitable, Callable, Sequence

import asyncpg
import orjson

from geoingest import db, errors, metrics, ping, standby
from geoingest.ingest import content, rows, submission, transaction

log = logging.getLogger(__name__)

# Time for a restarted server to come back before the senders are told to come again.
RECONNECT_SECONDS = 0.7
_RECONNECT_PAUSE_SECONDS = 0.1
_ATTEMPTS = 3
# For the server to hear that a write was given up.
_CANCEL_SECONDS = 0.5
# What note_late_pings says of a ping whose day is closed; the door, which knows the age, says it first.
_CLOSED = "ping_is_not_too_old"

_failures = {
    reason: metrics.copy_failures.labels(reason)
    for reason in ("connection", "timeout", "transient", "other")
}

Connect = Callable[[], Awaitable["asyncpg.Connection[db.Record]"]]


class Writer:
    """One lane's connection to the primary."""

    def __init__(self, connect: Connect, *, timeout_seconds: float) -> None:
        self._connect = connect
        self._timeout_seconds = timeout_seconds
        self._connection: asyncpg.Connection[db.Record] | None = None
        self._expect_duplicates = False
        self._standby = standby.Watch()

    @property
    def is_connected(self) -> bool:
        """False once the connection was lost and could not be renewed in time."""
        return self._connection is not None

    async def connect(self) -> None:
        """Opens the connection; raises what the driver raises."""
        self._connection = await self._connect()
        self._standby.listen(self._connection)

    def close(self) -> None:
        """Drops the connection without waiting for the server."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    async def write(self, batch: Sequence[submission.Submission]) -> submission.Outcome:
        """Commits a batch; raises WriteFailedError when that is not certain."""
        pings = list(itertools.chain.from_iterable(one.decoded.pings for one in batch))
        rejected = list(itertools.chain.from_iterable(one.decoded.rejected for one in batch))
        # One row per key, in key order: two writers then wait for each other, never in a circle.
        unique = {row[rows.KEY]: row for row in reversed(pings)}
        ordered = sorted(unique.values())
        outcome = await self._write_surely(ordered, rejected)
        if ordered:
            metrics.copy_last_success.set_to_current_time()
            metrics.ping_age.observe(max(0.0, rows.greatest_age_seconds(ordered, ordered[0])))
        if outcome.stored is None and len(unique) < len(pings):
            return submission.Outcome(set(unique), outcome.rejected)
        return outcome

    async def _write_surely(
        self, pings: Sequence[rows.Row], rejected: Sequence[content.Rejected]
    ) -> submission.Outcome:
        """Tries again as long as that can help, then tells the senders to."""
        may_exist = self._expect_duplicates
        for _ in range(_ATTEMPTS):
            try:
                async with asyncio.timeout(self._timeout_seconds):
                    return await self._write_once(pings, rejected, may_exist=may_exist)
            except asyncpg.UniqueViolationError:
                pass
            except transaction.DATA_ERRORS as exc:
                if _lacks_partition(exc):
                    log.warning("no partition for a ping's month; run: geoingest migrate")
                    raise errors.WriteFailedError from exc
                return await self._write_halves(pings, rejected, exc)
            except db.DRIVER_ERRORS as exc:
                _count_failure(exc)
                if isinstance(exc, TimeoutError):
                    # The sender has waited long enough; the server may still commit.
                    await self._give_up()
                    raise errors.WriteFailedError from exc
                if not db.is_transient(exc):
                    await self._reconnect(exc)
            may_exist = True
        raise errors.WriteFailedError

    async def _write_once(
        self, pings: Sequence[rows.Row], rejected: Sequence[content.Rejected], *, may_exist: bool
    ) -> submission.Outcome:
        connection = self._connection
        if connection is None:
            raise errors.WriteFailedError
        self._standby.expect()
        outcome = await transaction.commit(connection, pings, rejected, may_exist=may_exist)
        if outcome.stored is not None:
            self._expect_duplicates = len(outcome.stored) < len(pings)
        if not self._standby.is_confirmed:
            log.warning("no standby confirmed a batch")
            raise errors.WriteFailedError
        return outcome

    async def _write_halves(
        self,
        pings: Sequence[rows.Row],
        rejected: Sequence[content.Rejected],
        exc: Exception,
    ) -> submission.Outcome:
        if len(pings) == 1:
            bad = _rejected(pings[0], exc)
            log.warning("ping the database does not take", extra={"reason": db.sqlstate(exc)})
            await self._write_surely([], [*rejected, bad])
            return submission.Outcome(set(), {pings[0][rows.KEY]: bad.reason})
        if not pings:
            raise errors.WriteFailedError from exc
        middle = len(pings) // 2
        first = await self._write_surely(pings[:middle], rejected)
        second = await self._write_surely(pings[middle:], [])
        return submission.Outcome(
            _stored(first, pings[:middle]) | _stored(second, pings[middle:]),
            {**first.rejected, **second.rejected},
        )

    async def _give_up(self) -> None:
        """Cancels the write too: a server that waits for a standby does not notice that we are gone."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(*db.DRIVER_ERRORS):
                await connection.close(timeout=_CANCEL_SECONDS)

    async def _reconnect(self, cause: Exception) -> None:
        """A new connection within RECONNECT_SECONDS, or WriteFailedError."""
        self.close()
        try:
            async with asyncio.timeout(RECONNECT_SECONDS):
                while self._connection is None:
                    try:
                        await self.connect()
                    except db.DRIVER_ERRORS as exc:
                        log.debug("no connection", extra={"reason": db.sqlstate(exc)})
                        await asyncio.sleep(_RECONNECT_PAUSE_SECONDS)
        except TimeoutError:
            raise errors.WriteFailedError from cause


def _lacks_partition(exc: Exception) -> bool:
    """Our fault, not the ping's: a CHECK that is no constraint of the table."""
    return isinstance(exc, asyncpg.CheckViolationError) and not exc.constraint_name


def _count_failure(exc: Exception) -> None:
    if isinstance(exc, TimeoutError):
        reason = "timeout"
    elif db.is_transient(exc):
        reason = "transient"
    elif db.is_away(exc):
        reason = "connection"
    else:
        reason = "other"
    _failures[reason].inc()
    log.warning("batch not confirmed", extra={"reason": reason, "code": db.sqlstate(exc)})


def _stored(outcome: submission.Outcome, pings: Sequence[rows.Row]) -> set[rows.Key]:
    return {row[rows.KEY] for row in pings} if outcome.stored is None else outcome.stored


def _rejected(row: rows.Row, exc: Exception) -> content.Rejected:
    values = rows.decode(row)
    raw = orjson.dumps(values._asdict())[: content.RAW_BYTES]
    is_old = isinstance(exc, asyncpg.CheckViolationError) and exc.constraint_name == _CLOSED
    reason: ping.Reason = "too_old" if is_old else "unstorable"
    return content.Rejected(0, reason, raw, values.device_id, values.received_us)
