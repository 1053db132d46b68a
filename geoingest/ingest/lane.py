"""A lane: one writer that keeps its connection and empties the queue for as long as the process lives."""

from __future__ import annotations

import asyncio
import logging
import random

from geoingest import db
from geoingest.ingest import batcher, writer

log = logging.getLogger(__name__)

_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 1.0


async def run(queue: batcher.Batcher, lane_writer: writer.Writer) -> None:
    """Connects, writes, and connects again; ends only when cancelled."""
    while True:
        await _connect(lane_writer)
        queue.open_lane()
        try:
            while lane_writer.is_connected:
                await queue.flush(lane_writer.write)
        except Exception:  # the root of a task: a bug must not stop the lane for good
            log.exception("lane failed; it starts again")
        finally:
            queue.close_lane()
            lane_writer.close()


async def _connect(lane_writer: writer.Writer) -> None:
    pause = _FIRST_PAUSE_SECONDS
    away = False
    while True:
        try:
            await lane_writer.connect()
        except db.DRIVER_ERRORS as exc:
            if not away:
                log.warning("primary away", extra={"reason": db.sqlstate(exc)})
            away = True
        else:
            if away:
                log.warning("primary back")
            return
        # Jitter, so that lanes and instances do not knock in step.
        await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311  # no secret
        pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
