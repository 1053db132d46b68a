"""What upkeep has to show: months that are ready to take pings, how far rows are rolled up and sealed."""

from __future__ import annotations

import asyncio
import logging

from geoingest import db, metrics

log = logging.getLogger(__name__)

POLL_SECONDS = 60.0


class Runway:
    """Looked up each minute, so that each service's own page tells of the jobs, wherever they run."""

    def __init__(self, pool: db.Pool) -> None:
        self._pool = pool
        self.has_this_month = False

    async def run(self) -> None:
        """Looks for as long as the process lives; ends only when cancelled."""
        while True:
            try:
                await self.look()
            except db.DRIVER_ERRORS as exc:
                log.debug("partitions not looked up", extra={"reason": db.sqlstate(exc)})
                await asyncio.sleep(1.0)
            else:
                await asyncio.sleep(POLL_SECONDS)

    async def look(self) -> None:
        """One look; raises what the driver raises."""
        async with self._pool.acquire(timeout=db.CONNECT_SECONDS) as connection:
            (row,) = await connection.fetch(db.queries()["months_ready"])
        self.has_this_month = row["has_this_month"]
        metrics.partitions_ahead.set(row["ahead"])
        if row["rolled_to"] is not None:
            metrics.rollup_watermark.set(row["rolled_to"].timestamp())
            metrics.retention_sealed.set(row["sealed_to"].timestamp())
