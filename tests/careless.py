"""A service that is broken on purpose: it forgets pings here and there, lets go of nothing, and has hardly a backlog.

Run as `python -m tests.careless serve`; the benches must find out each of its faults.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Sequence

from geoingest import cli, serve
from geoingest.ingest import submission, writer

_commit = writer.Writer.write
_batches = itertools.count(1)
_BYTES_PER_BATCH = 50_000
_kept: list[object] = []


async def _forget_and_keep(
    self: writer.Writer, batch: Sequence[submission.Submission]
) -> submission.Outcome:
    _kept.append(bytes(_BYTES_PER_BATCH))
    _kept.append(asyncio.create_task(asyncio.Event().wait()))
    _kept.append(os.dup(0))
    if next(_batches) % 10 == 0:
        return submission.Outcome()
    return await _commit(self, batch)


if __name__ == "__main__":
    # The faults.
    writer.Writer.write = _forget_and_keep  # type: ignore[method-assign]
    serve.BACKLOG = 16
    cli.main()
