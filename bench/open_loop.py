"""Open loop: requests start when the schedule says, whether or not earlier ones were answered.

Latency counts from the intended start. A generator that waited for a slow answer before it sent
the next request would leave out just the requests that the slow moment made wait.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from bench import generator, stats, stream, usage

# The generator itself may be late by no more than this at p99, or its latencies are not the service's.
MOST_SLIP_MS = 5.0
LEAST_RATE_SHARE = 0.995
_LEAD_SECONDS = 0.2
CONNECTS_PER_SECOND = 1000.0


class Plan(NamedTuple):
    """What to send, and whose CPU time to read; the warm-up runs at the same rate and is not counted."""

    host: str
    port: int
    service_pid: int
    streams: Sequence[stream.Stream]
    warmup_seconds: float
    seconds: float
    database_pid: int | None = None


class Load(NamedTuple):
    """What became of all streams, and whether the generator kept its schedule."""

    outcomes: dict[str, stream.Outcome]
    slip_p99_ms: float
    # Of one core, warm-up and measured time together.
    service_cpu_share: float | None
    own_cpu_share: float
    database_cpu_share: float | None = None
    # Whether a slow moment may have been the generator's own.
    slip_max_ms: float | None = None

    @property
    def kept_schedule(self) -> bool:
        """False when the generator was too slow to be believed."""
        return self.slip_p99_ms < MOST_SLIP_MS


class Course(NamedTuple):
    """Starts after `zero`, each with the position of its action, and whose CPU time to read."""

    runs: Sequence[stream.Run]
    actions: Sequence[Callable[[float], None]]
    starts: Sequence[tuple[float, int]]
    zero: float
    service_pid: int
    database_pid: int | None


async def run(plan: Plan) -> Load:
    """Connects, warms up, sends to the schedule's end, waits for the last answers."""
    generator.allow_sockets(sum(one.sockets for one in plan.streams))
    runs = [stream.Run(one, host=plan.host, port=plan.port) for one in plan.streams]
    for one in runs:
        await one.connect(per_second=CONNECTS_PER_SECOND)
    starts = schedule(plan.streams, warmup_seconds=plan.warmup_seconds, seconds=plan.seconds)
    generator.still_memory()
    zero = asyncio.get_running_loop().time() + _LEAD_SECONDS - starts[0][0]
    course = Course(
        runs, [one.send for one in runs], starts, zero, plan.service_pid, plan.database_pid
    )
    return await drive(course, seconds=plan.seconds)


async def drive(course: Course, *, seconds: float) -> Load:
    """Keeps the schedule, and waits for the last answers."""
    for one in course.runs:
        one.zero = course.zero
    before = time.perf_counter()
    own_before, service_before = time.process_time(), usage.cpu_seconds(course.service_pid)
    database_before = usage.cpu_seconds(course.database_pid)
    slips = await _send(course)
    elapsed = time.perf_counter() - before
    own = time.process_time() - own_before
    service = usage.since(service_before, usage.cpu_seconds(course.service_pid))
    database = usage.since(database_before, usage.cpu_seconds(course.database_pid))
    for one in course.runs:
        await one.finish()
    return Load(
        {one.name: one.outcome(seconds) for one in course.runs},
        round(stats.percentile(sorted(slips), 0.99) * 1e3, 3),
        None if service is None else round(service / elapsed, 3),
        round(own / elapsed, 3),
        None if database is None else round(database / elapsed, 3),
        round(max(slips) * 1e3, 3),
    )


def schedule(
    streams: Sequence[stream.Stream], *, warmup_seconds: float, seconds: float
) -> list[tuple[float, int]]:
    """Starts, the warm-up's below zero, each with its stream's position.

    Uniform draws in a fixed number: Poisson arrivals, at exactly the rate.
    """
    chooser = random.Random(2)
    return sorted(
        (chooser.uniform(start, end), position)
        for position, one in enumerate(streams)
        for start, end in ((-warmup_seconds, 0.0), (0.0, seconds))
        for _ in range(round(one.per_second * (end - start)))
    )


async def _send(course: Course) -> list[float]:
    """Starts all, each as soon as its time has come; returns how late each was."""
    loop = asyncio.get_running_loop()
    starts, zero = course.starts, course.zero
    slips: list[float] = []
    all_sent = loop.create_future()
    position = 0

    def send_due() -> None:
        nonlocal position
        while position < len(starts):
            offset, at = starts[position]
            late = loop.time() - zero - offset
            if late < 0:
                loop.call_at(zero + offset, send_due)
                return
            position += 1
            if offset >= 0:
                slips.append(late)
            course.actions[at](zero + offset)
        all_sent.set_result(None)

    send_due()
    await all_sent
    return slips
