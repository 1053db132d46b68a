"""It takes the first server that answers, and stays with it.

Run as `python -m tests.broken.any_server serve`; the checks of test_failover must find it out.
"""

from __future__ import annotations

from typing import Any

import asyncpg

from geoingest import cli, connections, db


async def _to_any(url: str, *, admit: object, **options: Any) -> asyncpg.Connection[db.Record]:
    return await asyncpg.connect(url, **options)


if __name__ == "__main__":
    connections._to_primary = _to_any  # type: ignore[assignment]  # the fault
    cli.main()
