"""One batch in one transaction: COPY, or ON CONFLICT where rows may be stored already, and the rejects."""

from __future__ import annotations

import time
from collections.abc import Sequence

import asyncpg

from geoingest import db, metrics, ping
from geoingest.ingest import content, rows, submission

# A value that its column does not take.
DATA_ERRORS = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    OverflowError,
)
_copied = metrics.copy_duration.labels("copy")
_conflicted = metrics.copy_duration.labels("on_conflict")


async def commit(
    connection: asyncpg.Connection[db.Record],
    pings: Sequence[rows.Row],
    rejected: Sequence[content.Rejected],
    *,
    may_exist: bool,
) -> submission.Outcome:
    """What became of the rows; raises what the driver raises, and then nothing or all is written."""
    if not rejected:
        return await _write_pings(connection, pings, may_exist=may_exist)
    # By hand: the driver's own block would wait for a ROLLBACK that a stopped server never answers.
    await connection.execute("BEGIN")
    try:
        await connection.execute(db.queries()["quarantine_pings"], *_quarantine(rejected))
        outcome = await _write_pings(connection, pings, may_exist=may_exist)
    except (asyncpg.PostgresError, *DATA_ERRORS):
        await connection.execute("ROLLBACK")
        raise
    await connection.execute("COMMIT")
    return outcome


async def _write_pings(
    connection: asyncpg.Connection[db.Record],
    pings: Sequence[rows.Row],
    *,
    may_exist: bool,
) -> submission.Outcome:
    if not pings:
        return submission.Outcome()
    if may_exist:
        started = time.perf_counter()
        inserted = await connection.fetch(db.queries()["insert_pings"], *rows.arrays(pings))
        _conflicted.observe(time.perf_counter() - started)
        stored = {rows.key(one[0], ping.instant_us(one[1]), one[2]) for one in inserted}
        if not stored:
            # What writes nothing waits for no standby; the rows may be there since a wait in vain.
            await connection.execute(db.queries()["confirm_duplicates"])
        return submission.Outcome(stored)
    # A memoryview, because the driver takes bytes for a file name.
    source = memoryview(rows.copy_bytes(pings))
    started = time.perf_counter()
    await connection.copy_to_table(
        "geolocation_data",
        source=source,  # type: ignore[arg-type]  # documented, not in the stubs
        columns=rows.COLUMNS,
        format="binary",
    )
    _copied.observe(time.perf_counter() - started)
    return submission.Outcome()


def _quarantine(rejected: Sequence[content.Rejected]) -> tuple[list[object], ...]:
    return (
        [ping.instant(one.received_us) for one in rejected],
        [one.device_id for one in rejected],
        [one.reason for one in rejected],
        [one.raw for one in rejected],
    )
