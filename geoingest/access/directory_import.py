"""A body becomes part of the directory, or nothing of it: over HTTP, beside the pings.

1. One import at a time: a second one is refused before its body is read, by a lock that ends with the
   transaction.
2. What comes is decoded in pieces and goes on by COPY into a table of the transaction's own; between two
   pieces the loop has its turn, and nobody holds the body as a whole.
3. The database names what is bad beside what there is; with a single bad line nothing is put in force.
4. Else a few statements for all lines put it in force, and COMMIT.

Whatever ends it early ends the connection, and so the transaction.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol

import asyncpg

from geoingest import db, errors, standby
from geoingest.access import directory, directory_reading
from geoingest.bearer import Bearer

MOST_LINES = 100_000
# From the first byte of the body to the COMMIT; a guess: ten times what 100,000 lines take on two cores.
MOST_SECONDS = 120.0
_CLOSE_SECONDS = 0.5
# What somebody else has changed between our look and our write.
_OVERTAKEN = (asyncpg.UniqueViolationError, asyncpg.ForeignKeyViolationError)

Connect = Callable[[], Awaitable["asyncpg.Connection[db.Record]"]]


class Body(Protocol):
    """The port to a request: its bytes in pieces, and whether that was all."""

    is_whole: bool

    def pieces(self) -> AsyncIterator[bytes]:
        """Each as it comes."""
        ...


class Imports:
    """Puts bodies into the directory."""

    def __init__(self, connect: Connect, *, most_seconds: float = MOST_SECONDS) -> None:
        self._connect = connect
        self._most_seconds = most_seconds

    async def put(
        self, kind: str, form: directory_reading.Form, body: Body, bearer: Bearer
    ) -> directory.Report | directory.Refusal:
        """Once it is committed, what has changed; or which lines are bad.

        DirectoryBusyError beside another import; BodyTooLargeError, BodyTimeoutError, ServiceError.
        """
        try:
            async with asyncio.timeout(self._most_seconds), _open(self._connect) as connection:
                watch = standby.Watch()
                watch.listen(connection)
                await connection.execute("BEGIN")
                await _hold(connection)
                reading = directory_reading.Reading(kind, form)
                await _stage(connection, kind, _rows(reading, body))
                found = await connection.fetch(db.queries()[f"bad_{kind}"], directory.MOST_BAD)
                refusal = directory.refusal(reading.bad, reading.bad_lines, map(dict, found))
                if refusal is not None:
                    return refusal
                # The body may have taken its time.
                if not await connection.fetchval(db.queries()["is_admin"], bearer.viewer_id):
                    raise errors.NotFoundError
                report = await _put_in_force(connection, kind, reading.lines)
                await connection.execute("COMMIT")
                if not watch.is_confirmed:
                    raise errors.DatabaseUnavailableError
                return report
        except TimeoutError as exc:
            if body.is_whole:
                raise errors.DatabaseUnavailableError from exc
            raise errors.BodyTimeoutError from exc
        except db.DRIVER_ERRORS as exc:
            translated = _translated(exc)
            if translated is None:
                raise
            raise translated from exc


@contextlib.asynccontextmanager
async def _open(connect: Connect) -> AsyncIterator[asyncpg.Connection[db.Record]]:
    connection = await connect()
    try:
        yield connection
    finally:
        # A server that is at work hears that it was given up.
        with contextlib.suppress(*db.DRIVER_ERRORS):
            await connection.close(timeout=_CLOSE_SECONDS)


async def _hold(connection: asyncpg.Connection[db.Record]) -> None:
    if not await connection.fetchval(db.queries()["hold_directory"]):
        raise errors.DirectoryBusyError
    await connection.execute(db.queries()["let_directory_take"], f"{MOST_SECONDS:.0f}s")


async def _rows(
    reading: directory_reading.Reading, body: Body
) -> AsyncIterator[directory_reading.Row]:
    async for piece in body.pieces():
        for row in reading.feed(piece):
            yield row
        _check_count(reading)
        # A body that is there already would otherwise be taken without a pause.
        await asyncio.sleep(0)
    for row in reading.end():
        yield row
    _check_count(reading)


def _check_count(reading: directory_reading.Reading) -> None:
    if reading.lines > MOST_LINES:
        raise errors.BodyTooLargeError(f"send at most {MOST_LINES} lines")


async def _stage(
    connection: asyncpg.Connection[db.Record],
    kind: str,
    rows: AsyncIterator[directory_reading.Row],
) -> None:
    await connection.execute(db.queries()[f"stage_{kind}"])
    columns = ["line", *directory.KINDS[kind].columns]
    await connection.copy_records_to_table("staged", records=rows, columns=columns)
    await connection.execute(db.queries()["weigh_staged"])


async def _put_in_force(
    connection: asyncpg.Connection[db.Record], kind: str, lines: int
) -> directory.Report:
    sums = directory.Sums(lines)
    while sums.is_unfinished:
        (row,) = await connection.fetch(db.queries()[f"put_{kind}"])
        sums.add(dict(row))
    if kind in directory.PEOPLE:
        await connection.execute(db.queries()["end_what_revoked_had"])
    return sums.report()


def _translated(exc: BaseException) -> errors.HttpError | None:
    if db.is_transient(exc) or isinstance(exc, _OVERTAKEN):
        return errors.DirectoryBusyError()
    if db.is_away(exc) or isinstance(exc, asyncpg.QueryCanceledError):
        return errors.DatabaseUnavailableError()
    return None
