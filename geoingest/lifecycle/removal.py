"""A month leaves for good by DETACH CONCURRENTLY, which no insert waits for, in three steps.

Whatever of them a killed run has done, `finish` does the rest:

1. A comment on the table says that it is to go. It holds the table's own number, so that a copy which
   somebody has restored, under whatever name, is not meant by it.
2. DETACH CONCURRENTLY: two transactions with a wait for readers between them. After the first it is
   pending; until FINALIZE no other month can be detached.
3. DROP TABLE of what is then a table like any other.
"""

from __future__ import annotations

import functools
import logging

from psycopg import sql

from geoingest import db, metrics
from geoingest.lifecycle import locks

log = logging.getLogger(__name__)


def drop(connection: db.DirectConnection, partition: str) -> None:
    """Removes a month for good, unless it is gone; LockNotAvailable when readers hold it for too long."""
    with locks.hold(connection, locks.SCHEMA, patience_seconds=locks.SCHEMA_SECONDS):
        finish(connection)
        mark = db.one(connection.execute(db.queries()["mark_of_month"], [partition]))["mark"]
        if mark is None:
            return
        condemn = sql.SQL("COMMENT ON TABLE {} IS {}").format(sql.Identifier(partition), mark)
        locks.patiently(functools.partial(connection.execute, condemn), partition)
        _remove(connection, partition)


def finish(connection: db.DirectConnection) -> list[str]:
    """Removes what `drop` has begun and not ended; the names of the months that are gone with it."""
    gone: list[str] = []
    for row in connection.execute(db.queries()["unfinished_months"]).fetchall():
        partition = str(row["partition_name"])
        if row["is_condemned"]:
            _remove(connection, partition)
            gone.append(partition)
        else:
            # Somebody else's: it stays, as a table of its own.
            locks.patiently(functools.partial(_detach, connection, partition), partition)
    return gone


def _remove(connection: db.DirectConnection, partition: str) -> None:
    locks.patiently(functools.partial(_detach, connection, partition), partition)
    statement = sql.SQL("DROP TABLE {}").format(sql.Identifier(partition))
    locks.patiently(functools.partial(connection.execute, statement), partition)
    metrics.partitions_dropped.inc()
    log.info("month dropped", extra={"partition": partition})


def _detach(connection: db.DirectConnection, partition: str) -> None:
    """From wherever it stands: the first try may have ended half way, waiting for readers."""
    row = connection.execute(db.queries()["state_of_month"], [partition]).fetchone()
    if row is not None:
        how = sql.SQL("FINALIZE" if row["is_pending"] else "CONCURRENTLY")
        connection.execute(
            sql.SQL("ALTER TABLE geolocation_data DETACH PARTITION {} {}").format(
                sql.Identifier(partition), how
            )
        )
