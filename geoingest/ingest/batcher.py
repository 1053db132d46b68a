"""Requests wait here together until a writer is free: group commit without a timer.

How a request and a lane talk:

1. Before a request is decoded it is checked: an overloaded queue, or no lane with a connection,
   refuses it while that still costs little. Then it is submitted with whoever waits for its verdict.
2. A lane is a writer with its task. Free, it takes every waiting request, up to max_batch_pings.
   While it writes, the next batch gathers by itself: quiet means batches of one, busy means large ones.
3. The write ends in an Outcome, and each request of the batch gets its own verdict; or it fails,
   and each gets the error. No path leaves a waiter without one: a lane that dies closes behind itself.
4. A lane without a connection is not open. When the last one closes, everything still waiting is
   refused, so that nobody waits for a database that is away.
"""

from __future__ import annotations

import asyncio
import collections
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from geoingest import errors, metrics, ping
from geoingest.ingest import content, overload, submission, turn


class Write(Protocol):
    """The port to the database: commits a batch or raises ServiceError."""

    async def __call__(self, batch: Sequence[submission.Submission]) -> submission.Outcome: ...


class Batcher:
    """The queue between requests and lanes."""

    def __init__(
        self, limits: overload.Limits, *, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._limits = limits
        self._overload = overload.Overload(limits)
        self._turn = turn.Turn(now=now)
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

    def check(self, pings: int, size_bytes: int) -> None:
        """Raises ServiceError when about so much more cannot be written soon, and counts it."""
        now = self._now()
        if self._overload.is_busy(now):
            self._turn.measure()
        # The class, not one of it: an error that its own frame holds keeps the body it refuses.
        refusal: type[errors.ServiceError]
        if not self._open_lanes:
            refusal = errors.DatabaseUnavailableError
        elif self._overload.refuses(
            pings=self.pings,
            more_pings=pings,
            size_bytes=self._waiting_bytes + size_bytes,
            waiting_seconds=now - self._waiting[0].queued_at if self._waiting else 0.0,
            turn_seconds=self._turn.seconds,
            now=now,
        ):
            refusal = errors.OverloadedError
        else:
            return
        metrics.pings_received.inc(pings)
        _refused[refusal.reason].inc(pings)
        raise refusal

    def submit(self, decoded: content.Decoded, size_bytes: int, waiter: submission.Waiter) -> None:
        """Queues one request, which was checked; the waiter learns what became of it."""
        metrics.pings_received.inc(decoded.received)
        queued = submission.Submission(
            decoded, waiter, size_bytes=size_bytes, queued_at=self._now()
        )
        self._waiting.append(queued)
        self._waiting_bytes += size_bytes
        self._waiting_pings += decoded.received
        self._wake()

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
        started = self._now()
        self._writing_pings += pings
        metrics.batch_pings.observe(pings)
        metrics.queue_wait.observe(started - batch[0].queued_at)
        try:
            outcome = await write(batch)
            now = self._now()
            self._overload.wrote(
                pings,
                requests=len(batch),
                waited_seconds=started - batch[0].queued_at,
                seconds=now - started,
                turn_seconds=self._turn.seconds,
                now=now,
            )
            _answer(batch, outcome)
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
        if not one.waiter.done():
            # A copy for each: a shared exception would gather everyone's traceback.
            one.waiter.set_exception(type(error)(error.detail))


def _answer(batch: Sequence[submission.Submission], outcome: submission.Outcome) -> None:
    left = set(outcome.stored or ())
    stored = duplicate = 0
    for one in batch:
        verdict = one.verdict(outcome, left)
        stored += verdict.stored
        duplicate += verdict.duplicate
        for rejected in one.decoded.rejected:
            _rejected[rejected.reason].inc()
        for reason in verdict.rejected.values():
            _rejected[reason].inc()
        if not one.waiter.done():
            one.waiter.set_result(verdict)
    metrics.pings_stored.inc(stored)
    metrics.pings_duplicate.inc(duplicate)
