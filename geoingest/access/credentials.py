"""Device tokens, and keys, in memory: a new one works within 2 s, a revoked one stops within 5 s.

A poll each second reads the rows changed since the last one. "Since" is a transaction snapshot,
not a clock: each row carries the transaction that wrote it, and everything below the oldest one
running at the last poll was visible then. So a long transaction that commits late is not missed.

A rotated device has two tokens for a while. That the older one ends is no change of a row; but each
poll reads the clock of the database, too, and ends what is over by that.
"""

from __future__ import annotations

import asyncio
import datetime
import logging
import time
from collections.abc import Callable
from typing import NamedTuple

import asyncpg

from geoingest import db, errors, metrics, ping

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0
# Older than this the list might still hold a revoked token, so nobody is let in on it.
MAX_AGE_SECONDS = 5.0
_TIMEOUT_SECONDS = 3.0
_LOAD_TIMEOUT_SECONDS = 60.0
_NEVER = datetime.datetime.max.replace(tzinfo=datetime.UTC)
_stale = metrics.auth_failures.labels(errors.StaleCredentialsError.reason)


class _Snapshot(NamedTuple):
    timeline: str
    oldest_running: int
    next_unassigned: int

    def continues(self, earlier: _Snapshot) -> bool:
        """False after a promotion or a restore: the numbers in between may stand for other changes."""
        return self.timeline == earlier.timeline and self.oldest_running >= earlier.oldest_running


class _Previous(NamedTuple):
    """The token that a rotated device had before, and when it ends."""

    digest: bytes
    until: datetime.datetime


class Credentials:
    """Which device has which token, and which students there are."""

    def __init__(self, pool: db.Pool, *, now: Callable[[], float] = time.monotonic) -> None:
        self._pool = pool
        self._now = now
        self._senders: dict[bytes, ping.Sender] = {}
        self._digests: dict[int, bytes] = {}
        self._previous: dict[int, _Previous] = {}
        self._next_end = _NEVER
        self._secrets: dict[int, bytes] = {}
        self._students: set[int] = set()
        self._seen: _Snapshot | None = None
        self._fresh_until = float("-inf")

    @property
    def students(self) -> set[int]:
        """The ids a gateway may name."""
        return self._students

    @property
    def is_fresh(self) -> bool:
        """False when the last poll is too long ago."""
        return self._now() < self._fresh_until

    def sender(self, digest: bytes) -> ping.Sender | None:
        """Who has this token; None when nobody has. Raises StaleCredentialsError."""
        if self._now() >= self._fresh_until:
            _stale.inc()
            raise errors.StaleCredentialsError
        return self._senders.get(digest)

    def secret(self, device_id: int) -> bytes | None:
        """The key by which this device encrypts; None where it does not."""
        return self._secrets.get(device_id)

    async def run(self) -> None:
        """Polls for as long as the process lives; ends only when cancelled."""
        while True:
            try:
                await self.refresh()
            except db.DRIVER_ERRORS as exc:
                log.debug("credentials not refreshed", extra={"reason": db.sqlstate(exc)})
                if db.is_standby(exc) or isinstance(exc, TimeoutError):
                    # A pooler was led to another server under the pool's connections; or they all lead to
                    # one that hangs, and to wait for each of them would take too long.
                    await self._pool.expire_connections()
            await asyncio.sleep(POLL_SECONDS)

    async def refresh(self) -> None:
        """One poll; raises what the driver raises."""
        asked_at = self._now()
        # The first load of a large school may take longer than a poll may.
        patience = _LOAD_TIMEOUT_SECONDS if self._seen is None else _TIMEOUT_SECONDS
        async with asyncio.timeout(patience), self._pool.acquire(timeout=patience) as connection:
            (row,) = await connection.fetch(db.queries()["current_snapshot"])
            snapshot = _Snapshot(
                row["timeline"], int(row["oldest_running"]), int(row["next_unassigned"])
            )
            if self._seen is not None and snapshot.continues(self._seen):
                await self._follow(connection, self._seen, snapshot)
            else:
                await self._load(connection)
            self._end_what_is_over(row["read_at"])
            self._seen = snapshot
            self._fresh_until = asked_at + MAX_AGE_SECONDS

    async def _load(self, connection: db.Connection) -> None:
        devices = await connection.fetch(db.queries()["devices_all"], timeout=_LOAD_TIMEOUT_SECONDS)
        students = await connection.fetch(
            db.queries()["students_all"], timeout=_LOAD_TIMEOUT_SECONDS
        )
        self._students = {row["student_id"] for row in students}
        for kept in (self._senders, self._digests, self._previous, self._secrets):
            kept.clear()
        for row in devices:
            self._let_in(row)

    async def _follow(
        self, connection: db.Connection, seen: _Snapshot, snapshot: _Snapshot
    ) -> None:
        bounds = str(seen.oldest_running), str(snapshot.next_unassigned)
        for row in await connection.fetch(db.queries()["students_changed"], *bounds):
            # Who is being erased leaves before the row does: its end could not be seen.
            change = self._students.difference_update if row["is_erased"] else self._students.update
            change(row["student_ids"])
        devices = await connection.fetch(db.queries()["devices_changed"], *bounds)
        # All leave before one comes: a token may have gone from one to another.
        for row in devices:
            self._turn_away(row["device_id"])
        for row in devices:
            if not row["revoked"]:
                self._let_in(row)

    def _let_in(self, row: asyncpg.Record) -> None:
        digest, device_id = row["token_digest"], row["device_id"]
        sender = ping.Sender(device_id, row["student_id"])
        self._senders[digest] = sender
        self._digests[device_id] = digest
        if row["previous_digest"] is not None:
            previous = _Previous(row["previous_digest"], row["previous_until"])
            self._senders[previous.digest] = sender
            self._previous[device_id] = previous
            self._next_end = min(self._next_end, previous.until)
        if row["owntracks_key"] is not None:
            self._secrets[device_id] = row["owntracks_key"]

    def _turn_away(self, device_id: int) -> None:
        digest = self._digests.pop(device_id, None)
        if digest is not None:
            self._senders.pop(digest, None)
        self._end(device_id)
        self._secrets.pop(device_id, None)

    def _end(self, device_id: int) -> None:
        previous = self._previous.pop(device_id, None)
        if previous is not None:
            self._senders.pop(previous.digest, None)

    def _end_what_is_over(self, now: datetime.datetime) -> None:
        if now < self._next_end:
            return
        over = [one for one, previous in self._previous.items() if previous.until <= now]
        for device_id in over:
            self._end(device_id)
        ends = (previous.until for previous in self._previous.values())
        self._next_end = min(ends, default=_NEVER)
