"""It takes whatever went wrong with a write for a lost answer, and says "stored".

Run as `python -m tests.broken.assumes_stored serve`; the checks of test_in_doubt and test_disk_full
must find it out.
"""

from __future__ import annotations

from collections.abc import Sequence

from geoingest import cli, errors
from geoingest.ingest import submission, writer

_commit = writer.Writer.write


async def _commit_or_hope(
    self: writer.Writer, batch: Sequence[submission.Submission]
) -> submission.Outcome:
    try:
        return await _commit(self, batch)
    except errors.WriteFailedError:
        return submission.Outcome()


if __name__ == "__main__":
    # No second try: it would find out.
    writer.RECONNECT_SECONDS = 0.0
    writer.Writer.write = _commit_or_hope  # type: ignore[method-assign]  # the fault
    cli.main()
