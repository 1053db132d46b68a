"""It puts in force what it has of a body so far, a thousand lines at a time, as a loop over them would.

Run as `python -m tests.broken.half_in_force serve`; the checks of test_directory_killed must find it out.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import asyncpg

from geoingest import cli, db
from geoingest.access import directory_import
from geoingest.access.directory_reading import Row

_PIECE_LINES = 1_000
_stage = directory_import._stage


async def _piece_by_piece(
    connection: asyncpg.Connection[db.Record], kind: str, rows: AsyncIterator[Row]
) -> None:
    piece: list[Row] = []
    async for row in rows:
        piece.append(row)
        if len(piece) == _PIECE_LINES:
            await _commit(connection, kind, piece)
            piece.clear()
    await _commit(connection, kind, piece)
    await _stage(connection, kind, _each([]))


async def _commit(
    connection: asyncpg.Connection[db.Record], kind: str, piece: Sequence[Row]
) -> None:
    await _stage(connection, kind, _each(piece))
    await connection.execute(db.queries()[f"put_{kind}"])
    await connection.execute("COMMIT")
    await connection.execute("BEGIN")


async def _each(piece: Sequence[Row]) -> AsyncIterator[Row]:
    for row in piece:
        yield row


if __name__ == "__main__":
    directory_import._stage = _piece_by_piece  # the fault
    cli.main()
