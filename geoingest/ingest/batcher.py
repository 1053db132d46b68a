"""Requests wait here together until a writer is free: group commit without a timer.

How a request and a lane talk:

1. A request is submitted; it gets a future. A full queue, or no lane with a connection, refuses it.
2. A lane is a writer with its task. Free, it takes every waiting request, up to max_batch_pings.
   While it writes, the next batch gathers by itself: quiet means batches of one, busy means large ones.
3. The write ends in an Outcome, and each request of the batch gets its own verdict; or it fails,
   and each gets the error. No path leaves a future open: a lane that dies closes behind itself.
4. A lane without a connection is not open. When the last one closes, everything still waiting is
   refused, so that nobody waits for a database that is away.
"""

from __future__ import annotations

import asyncio
import collections
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from geoingest import errors, metrics, ping
from geoingest.ingest import decode, submission


class Limits(NamedTuple):
    """What may wait in memory, and how much one batch takes."""

    queue_pings: int
    queue_bytes: int
    queue_age_seconds: float
    batch_pings: int


class Write(Protocol):
    """The port to the database: commits a batch or raises ServiceError."""

    async def __call__(self, batch: Sequence[submission.Submission]) -> submission.Outcome: ...


class Batcher:
    """The queue between requests and lanes."""

    def __init__(self, limits: Limits, *, now: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._now = now
        self._waiting: collections.deque[submission.Submission] = collections.deque()
        self._waiting_bytes = 0
        self._waiting_pings = 0
        self._writing_pings = 0
        self._idle: collections.deque[asyncio.Future[None]] = collections.deque()
        self._open_lanes = 0

    @property
    def pings(self) -> int:
        """Pings in memory that are not committed yet."""
        return self._waiting_pings + self._writing_pings

    @property
    def open_lanes(self) -> int:
        """Lanes that can write now."""
        return self._open_lanes

    def submit(
        self, decoded: decode.Decoded, size_bytes: int
    ) -> asyncio.Future[submission.Verdict]:
        """Queues one request; raises ServiceError at once when it cannot be written soon."""
        metrics.pings_received.inc(decoded.received)
        now = self._now()
        refusal = self._refusal(decoded.received, size_bytes, now)
        if refusal is not None:
            _refused[refusal.reason].inc(decoded.received)
            raise refusal
        queued = submission.Submission(
            decoded,
            asyncio.get_running_loop().create_future(),
            size_bytes=size_bytes,
            queued_at=now,
        )
        self._waiting.append(queued)
        self._waiting_bytes += size_bytes
        self._waiting_pings += decoded.received
        self._wake()
        return queued.future

    def open_lane(self) -> None:
        """A lane has a connection again."""
        self._open_lanes += 1

    def close_lane(self) -> None:
        """A lane lost its connection; the last one refuses all that wait."""
        self._open_lanes -= 1
        if self._open_lanes:
            self._wake()
            return
        refused = list(self._waiting)
        self._waiting.clear()
        self._waiting_pings = self._waiting_bytes = 0
        _fail(refused, errors.DatabaseUnavailableError())

    async def flush(self, write: Write) -> None:
        """One turn of a lane: waits for requests, writes them, answers each.

        Raises nothing of the write's: its ServiceError goes to the requests. Anything else
        is a bug; the requests learn WriteFailedError and the lane's owner gets the exception.
        """
        batch = await self._take()
        pings = sum(one.decoded.received for one in batch)
        self._writing_pings += pings
        metrics.batch_pings.observe(pings)
        metrics.queue_wait.observe(self._now() - batch[0].queued_at)
        try:
            _answer(batch, await write(batch))
        except errors.ServiceError as exc:
            _fail(batch, exc)
        except BaseException:
            _fail(batch, errors.WriteFailedError())
            raise
        finally:
            self._writing_pings -= pings

    async def _take(self) -> list[submission.Submission]:
        while not self._waiting:
            idle = asyncio.get_running_loop().create_future()
            self._idle.append(idle)
            try:
                await idle
            finally:
                if idle in self._idle:
                    self._idle.remove(idle)
        batch: list[submission.Submission] = []
        pings, trigger = 0, "writer_free"
        while self._waiting:
            following = self._waiting[0]
            if batch and pings + following.decoded.received > self._limits.batch_pings:
                trigger = "full"
                self._wake()
                break
            batch.append(self._waiting.popleft())
            pings += following.decoded.received
            self._waiting_bytes -= following.size_bytes
        self._waiting_pings -= pings
        _flushed[trigger].inc()
        return batch

    def _refusal(self, pings: int, size_bytes: int, now: float) -> errors.ServiceError | None:
        limits = self._limits
        if not self._open_lanes:
            return errors.DatabaseUnavailableError()
        if (
            self.pings + pings > limits.queue_pings
            or self._waiting_bytes + size_bytes > limits.queue_bytes
            or (self._waiting and now - self._waiting[0].queued_at > limits.queue_age_seconds)
        ):
            return errors.OverloadedError()
        return None

    def _wake(self) -> None:
        while self._idle and self._waiting:
            idle = self._idle.popleft()
            # A lane that is being cancelled takes nothing: the next one does.
            if not idle.done():
                idle.set_result(None)
                return


_flushed = {name: metrics.batches_flushed.labels(name) for name in ("writer_free", "full")}
_refused = {
    error.reason: metrics.pings_refused.labels(error.reason)
    for error in (errors.OverloadedError, errors.DatabaseUnavailableError)
}
_failed = metrics.pings_failed.labels(errors.WriteFailedError.reason)
_rejected = {reason: metrics.pings_rejected.labels(reason) for reason in ping.REASONS}


def _fail(batch: Sequence[submission.Submission], error: errors.ServiceError) -> None:
    pings = sum(one.decoded.received for one in batch)
    _refused.get(error.reason, _failed).inc(pings)
    for one in batch:
        if not one.future.done():
            # A copy for each: a shared exception would gather everyone's traceback.
            one.future.set_exception(type(error)(error.detail))


def _answer(batch: Sequence[submission.Submission], outcome: submission.Outcome) -> None:
    left = set(outcome.stored or ())
    stored = duplicate = 0
    for one in batch:
        verdict = one.verdict(outcome, left)
        stored += verdict.stored
        duplicate += verdict.duplicate
        for rejected in one.decoded.rejected:
            _rejected[rejected.reason].inc()
        _rejected["unstorable"].inc(len(verdict.unstorable))
        if not one.future.done():
            one.future.set_result(verdict)
    metrics.pings_stored.inc(stored)
    metrics.pings_duplicate.inc(duplicate)
