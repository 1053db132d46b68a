"""`geoingest simulate`: phones with students of their own, and a progress line."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import logging
import pathlib
import sys
from collections.abc import Coroutine, Sequence
from typing import Any, NamedTuple

from geoingest import config, db
from geoingest.access import provision, roster
from geoingest.local import clients, phones, tally, traces

log = logging.getLogger(__name__)

_TERMINAL_SECONDS = 1.0
_LOG_SECONDS = 10.0


class Plan(NamedTuple):
    """What to simulate; `fast` posts the whole trace once instead of living through it."""

    url: str
    protocol: str
    interval_seconds: float
    trips: Sequence[traces.Trip]
    fast: bool
    until: datetime.datetime
    seconds: float | None


def enrol(settings: config.Config, count: int) -> list[provision.Enrolled]:
    """As many students as phones: those of earlier runs first, new ones as needed."""
    path = settings.folder / "phones.csv"
    known = roster.read(path) if path.is_file() else []
    with db.direct(settings.direct_url) as connection:
        enrolled = provision.still_live(connection, known)
        if len(enrolled) >= count:
            return enrolled[:count]
        with connection.transaction():
            enrolled += provision.bulk(connection, count - len(enrolled))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            with roster.create(path) as file:
                roster.write(file, enrolled)
    return enrolled


def run(plan: Plan, tokens: Sequence[str]) -> tally.Tally:
    """Runs to its end, to `seconds`, or to Ctrl-C; what became of the pings."""
    variants = clients.PROTOCOLS[plan.protocol]
    sums = tally.Tally(variants[0].counts)
    asyncio.run(_run(plan, tokens, variants, sums))
    return sums


async def _run(
    plan: Plan,
    tokens: Sequence[str],
    variants: Sequence[clients.Client],
    sums: tally.Tally,
) -> None:
    work: Coroutine[Any, Any, None]
    if plan.fast:
        work = phones.flood(
            plan.url, tokens, sums, variants=variants, trips=plan.trips, until=plan.until
        )
    else:
        work = phones.live(
            plan.url,
            tokens,
            sums,
            variants=variants,
            interval_seconds=plan.interval_seconds,
            trips=plan.trips,
        )
    progress = asyncio.create_task(_progress(sums))
    try:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(plan.seconds):
                await work
    finally:
        progress.cancel()
        if sys.stderr.isatty():
            sys.stderr.write(f"\r\033[K{sums.line()}\n")


async def _progress(sums: tally.Tally) -> None:
    while True:
        if sys.stderr.isatty():
            sys.stderr.write(f"\r\033[K{sums.line()}")
            sys.stderr.flush()
            await asyncio.sleep(_TERMINAL_SECONDS)
        else:
            await asyncio.sleep(_LOG_SECONDS)
            log.info("simulated phones: %s", sums.line())


def load_trips(path: pathlib.Path | None) -> list[traces.Trip]:
    """The trips to replay; none without a file."""
    return [] if path is None else traces.read(path)
