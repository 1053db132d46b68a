"""It answers first and commits later.

Run as `python -m tests.broken.early_answers serve`; the checks of test_kill_service must find it out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from geoingest import cli
from geoingest.ingest import submission, writer

_DELAY_SECONDS = 0.2
_commit = writer.Writer.write
_pending: set[asyncio.Task[None]] = set()
_locks: dict[writer.Writer, asyncio.Lock] = {}


async def _answer_first(
    self: writer.Writer, batch: Sequence[submission.Submission]
) -> submission.Outcome:
    task = asyncio.create_task(_commit_later(self, batch))
    _pending.add(task)
    task.add_done_callback(_pending.discard)
    return submission.Outcome()


async def _commit_later(self: writer.Writer, batch: Sequence[submission.Submission]) -> None:
    await asyncio.sleep(_DELAY_SECONDS)
    # A connection does one thing at a time.
    async with _locks.setdefault(self, asyncio.Lock()):
        await _commit(self, batch)


if __name__ == "__main__":
    writer.Writer.write = _answer_first  # type: ignore[method-assign]  # the fault
    cli.main()
