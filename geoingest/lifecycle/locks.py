"""One migration, and one round of jobs, at a time in the whole cluster; and patience with the tables' own locks."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator

import psycopg

from geoingest import db, errors

log = logging.getLogger(__name__)

# Any two numbers, as long as they never change.
SCHEMA = 4_270_001
JOBS = 4_270_002
# A migration that is at work makes months, too.
SCHEMA_SECONDS = 60.0
_POLL_SECONDS = 0.2
# With the lock_timeout of 5 s longer than any statement of the service may run (30 s).
_ATTEMPTS = 7


class LockedError(errors.GeoingestError):
    """Another process holds the lock for longer than we may wait."""


@contextlib.contextmanager
def hold(
    connection: db.DirectConnection, number: int, *, patience_seconds: float
) -> Iterator[None]:
    """Holds the lock for the block; LockedError when another holds it for longer."""
    deadline = time.monotonic() + patience_seconds
    while not _try(connection, number):
        if time.monotonic() >= deadline:
            raise LockedError("another process is at the same work; look in pg_locks for it")
        time.sleep(_POLL_SECONDS)
    try:
        yield
    finally:
        connection.execute(db.queries()["unlock"], [number])


def patiently(act: Callable[[], object], partition: str) -> None:
    """Acts, again when a table's lock is not to be had in time: who queues behind us has a turn in between."""
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            act()
        except psycopg.errors.LockNotAvailable:
            if attempt == _ATTEMPTS:
                raise
            log.warning("partition waits for a lock", extra={"partition": partition})
        else:
            return


def _try(connection: db.DirectConnection, number: int) -> bool:
    row = connection.execute(db.queries()["try_lock"], [number]).fetchone()
    return row is not None and row["held"] is True
