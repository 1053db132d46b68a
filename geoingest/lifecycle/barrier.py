"""Waits for the transactions that may have read rollup_state as it was before it moved."""

from __future__ import annotations

import time

from geoingest import db, errors

PATIENCE_SECONDS = 20.0
_POLL_SECONDS = 0.05


class WritersBusyError(errors.GeoingestError):
    """A writing transaction is open for too long; what depends on its end is done in a later run."""


def wait_for_writers(connection: db.DirectConnection, *, patience_seconds: float) -> None:
    """Returns when all that were open have ended; WritersBusyError when they do not in time."""
    before = db.one(connection.execute(db.queries()["next_transaction"]))["next"]
    deadline = time.monotonic() + patience_seconds
    while not db.one(connection.execute(db.queries()["are_writers_done"], [before]))["are_done"]:
        if time.monotonic() >= deadline:
            raise WritersBusyError("a writing transaction has been open for too long")
        time.sleep(_POLL_SECONDS)
