"""It shows first and records later who looked.

Run as `python -m tests.broken.shows_unrecorded serve`; the check of test_kill_lookups must find it out.
"""

from __future__ import annotations

import asyncio

from geoingest import cli, lookup
from geoingest.access import audit

_DELAY_SECONDS = 0.2
_record = audit.Audit.record
_pending: set[asyncio.Task[None]] = set()


async def _show_first(self: audit.Audit, one: lookup.Lookup) -> set[int]:
    task = asyncio.create_task(_record_later(self, one))
    _pending.add(task)
    task.add_done_callback(_pending.discard)
    return set()


async def _record_later(self: audit.Audit, one: lookup.Lookup) -> None:
    await asyncio.sleep(_DELAY_SECONDS)
    await _record(self, one)


if __name__ == "__main__":
    audit.Audit.record = _show_first  # type: ignore[method-assign]  # the fault
    cli.main()
