"""The turn of the event loop is as long as what is done in it."""

from __future__ import annotations

import asyncio
import time

from geoingest.ingest import turn


async def test_a_turn_lasts_as_long_as_its_callbacks() -> None:
    """Asked for many times within one turn, it is timed once, to the end of the last callback."""
    one = turn.Turn()
    loop = asyncio.get_running_loop()

    for _ in range(20):
        for _ in range(3):
            loop.call_soon(one.measure)
            loop.call_soon(time.sleep, 0.002)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    busy = one.seconds
    for _ in range(20):
        one.measure()
        await asyncio.sleep(0)

    assert busy > 0.005
    assert one.seconds < busy / 10
