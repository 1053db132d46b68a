"""Advisory locks: one migration, and one round of jobs, at a time in the whole cluster."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from geoingest import db, errors

# Any two numbers, as long as they never change.
SCHEMA = 4_270_001
JOBS = 4_270_002
_POLL_SECONDS = 0.2


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


def _try(connection: db.DirectConnection, number: int) -> bool:
    row = connection.execute(db.queries()["try_lock"], [number]).fetchone()
    return row is not None and row["held"] is True
