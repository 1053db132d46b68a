"""Reads go to the replica while its lag is within bounds, else to the primary, capped.

Leaving the replica is quick: lag over the limit, replay paused, three probes or one query failed.
Coming back needs ten seconds of health, so that a replica on the edge does not flap.

Of several servers each is tried in turn until one is fit; the primary among them is not, and once the
two have swapped roles the other is found the same way.
"""

from __future__ import annotations

import asyncio
import datetime
import itertools
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, Literal, NamedTuple, TypeAlias, TypeVar

from geoingest import db, errors, metrics
from geoingest.tracking import lag

log = logging.getLogger(__name__)

T = TypeVar("T")
Source: TypeAlias = Literal["replica", "primary"]
Query: TypeAlias = Callable[["db.Connection"], Awaitable[T]]

PROBE_SECONDS = 0.25
HEALTHY_SECONDS = 10.0
HEALTHY_LAG_SECONDS = 1.0
MOST_FALLBACKS = 10
_PROBE_TIMEOUT_SECONDS = 1.0
_FAILED_PROBES = 3
# A replica that hangs must leave time for the primary to answer.
_REPLICA_PATIENCE_SECONDS = 2.0
_NEVER = float("-inf")
_TURN_SECONDS = 1.0
_CONNECT_SECONDS = 1.0
# Replay cancelled the query: the same question will do on the primary.
_CONFLICTS = ("40001", "57014")
_reads: dict[Source, Callable[[], None]] = {
    "replica": metrics.reads.labels("replica").inc,
    "primary": metrics.reads.labels("primary").inc,
}


class Answer(NamedTuple, Generic[T]):
    """A read's result with what bounds its age: complete up to `as_of`, from `source`."""

    result: T
    as_of: datetime.datetime
    source: Source


class _Server:
    """A pool, and as many questions at once as it may be asked."""

    def __init__(self, pool: db.Pool, source: Source, most: int) -> None:
        self.pool = pool
        self._source = source
        self._slots = asyncio.Semaphore(most)

    async def ask(self, query: Query[T], as_of: datetime.datetime) -> Answer[T]:
        """Waits a little for its turn, then asks; OverloadedError when the turn does not come."""
        try:
            async with asyncio.timeout(_TURN_SECONDS):
                await self._slots.acquire()
        except TimeoutError as exc:
            raise errors.OverloadedError from exc
        try:
            # The limit also bounds the hand-back: a hung server must not keep the caller.
            async with self.pool.acquire(timeout=_CONNECT_SECONDS) as connection:
                result = await query(connection)
        finally:
            self._slots.release()
        _reads[self._source]()
        return Answer(result, as_of, self._source)


class Replica:
    """Decides where a read goes; without a replica everything goes to the primary."""

    def __init__(
        self,
        primary: db.Pool,
        replicas: Sequence[db.Pool],
        *,
        most_reads: int,
        max_lag_seconds: float,
    ) -> None:
        self._primary = _Server(primary, "primary", MOST_FALLBACKS if replicas else most_reads)
        self._candidates = itertools.cycle(
            [_Server(one, "replica", most_reads) for one in replicas] or [None]
        )
        self._replica = next(self._candidates)
        self._max_lag_seconds = max_lag_seconds
        self._ring = lag.Ring()
        self._in_use = False
        self._failed_probes = 0
        # The first time a healthy replica is used at once: only one that was left must prove itself.
        self._unwell_at = _NEVER

    @property
    def in_use(self) -> bool:
        """True while reads go to the replica."""
        return self._in_use

    @property
    def lag_seconds(self) -> float:
        """How far the replica is behind, as far as is known."""
        return self._ring.lag_seconds(time.monotonic())

    async def ask(self, query: Query[T]) -> Answer[T]:
        """Runs a read; OverloadedError, DatabaseUnavailableError, and whatever of ours `query` raises."""
        as_of = self._ring.complete_up_to
        if self._replica is not None and self._in_use and as_of is not None:
            try:
                async with asyncio.timeout(_REPLICA_PATIENCE_SECONDS):
                    return await self._replica.ask(query, as_of)
            except db.DRIVER_ERRORS as exc:
                if db.is_away(exc):
                    # Too slow may also be our own doing; whether the replica hangs, the probe finds out.
                    if not isinstance(exc, TimeoutError):
                        self._leave("query failed")
                elif db.sqlstate(exc) not in _CONFLICTS:
                    raise
        try:
            return await self._primary.ask(query, _utc_now())
        except db.DRIVER_ERRORS as exc:
            if db.is_away(exc) or db.sqlstate(exc) in _CONFLICTS:
                raise errors.DatabaseUnavailableError from exc
            raise

    async def run(self) -> None:
        """Probes for as long as the process lives; ends only when cancelled."""
        if self._replica is None:
            return
        while True:
            await self.probe()
            await asyncio.sleep(PROBE_SECONDS)

    async def probe(self) -> None:
        """One look at both servers, and the decision that follows from it."""
        await self._sample_primary()
        failure = await self._sample_replica()
        if not self._in_use:
            # Before its first answer: a replica with another history shows only against a later position.
            await self._sample_primary()
        now = time.monotonic()
        behind_seconds = self._ring.lag_seconds(now)
        if failure is None and self._ring.is_astray:
            failure = "astray"
        if failure is None and behind_seconds > self._max_lag_seconds:
            failure = "lag"
        if failure is not None:
            self._leave(failure)
            self._replica = next(self._candidates)
        elif behind_seconds > min(HEALTHY_LAG_SECONDS, self._max_lag_seconds):
            self._unwell_at = now
        elif not self._in_use and self._is_known and now - self._unwell_at >= HEALTHY_SECONDS:
            self._in_use = True
            log.info("reads go to the replica")

    @property
    def _is_known(self) -> bool:
        """False while it has replayed nothing that we saw of the primary: nobody knows how old its answers are."""
        return self._ring.complete_up_to is not None

    async def _sample_primary(self) -> None:
        seen_seconds, taken_at = time.monotonic(), _utc_now()
        try:
            async with asyncio.timeout(_PROBE_TIMEOUT_SECONDS):
                async with self._primary.pool.acquire(timeout=_CONNECT_SECONDS) as connection:
                    position = await connection.fetchval(db.queries()["primary_position"])
        except db.DRIVER_ERRORS:
            # A primary that is away commits nothing: the last sample still bounds the answer.
            return
        self._ring.add(lag.Sample(position, seen_seconds, taken_at))

    async def _sample_replica(self) -> str | None:
        """Why the replica may not be asked; None when it may."""
        assert self._replica is not None  # noqa: S101  # run() ends without one
        try:
            async with asyncio.timeout(_PROBE_TIMEOUT_SECONDS):
                async with self._replica.pool.acquire(timeout=_CONNECT_SECONDS) as connection:
                    (row,) = await connection.fetch(db.queries()["replica_position"])
        except db.DRIVER_ERRORS:
            self._failed_probes += 1
            # One that is in use gets another chance, one that is not gets no first.
            patient = self._in_use and self._failed_probes < _FAILED_PROBES
            return None if patient else "away"
        self._failed_probes = 0
        if not row["in_recovery"]:
            return "promoted"
        self._ring.replayed(row["replayed_bytes"])
        return "paused" if row["paused"] else None

    def _leave(self, reason: str) -> None:
        if self._in_use or self._unwell_at > _NEVER:
            self._unwell_at = time.monotonic()
        if self._in_use:
            self._in_use = False
            log.warning("reads go to the primary", extra={"reason": reason})


def _utc_now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
