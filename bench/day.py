"""The load of a school day: fleets of phones that come and go, and guardians who ask all the time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from bench import bodies, fleet, generator, open_loop, stream, timetable


class Phones(NamedTuple):
    """What a fleet posts, and what each of its phones has kept when it comes."""

    posts: stream.Stream
    kept: bodies.Requests


class Plan(NamedTuple):
    """Where to, what, and when; `zero` is the day's first moment on the machine's monotonic clock."""

    host: str
    port: int
    service_pid: int
    database_pid: int | None
    fleets: Sequence[Phones]
    readers: Sequence[stream.Stream]
    stretches: Sequence[timetable.Stretch]
    seconds: float
    zero: float


class Day(NamedTuple):
    """What became of it: by stream of each right answer when it was meant to start, and its latency."""

    load: open_loop.Load
    samples: dict[str, list[tuple[float, float]]]


async def run(plan: Plan) -> Day:
    """Connects the readers; all else is the timetable's."""
    streams = [*(one.posts for one in plan.fleets), *plan.readers]
    generator.allow_sockets(sum(one.sockets for one in streams))
    fleets = [
        fleet.Fleet(one.posts, one.kept, host=plan.host, port=plan.port) for one in plan.fleets
    ]
    readers = [stream.Run(one, host=plan.host, port=plan.port) for one in plan.readers]
    for one in readers:
        await one.connect(per_second=open_loop.CONNECTS_PER_SECOND)
    actions: dict[str, Callable[[float], None]] = {}
    for each in fleets:
        actions |= {
            each.name: each.send,
            f"{each.name} come": each.come,
            f"{each.name} leave": each.leave,
        }
    actions |= {one.name: one.send for one in readers}
    course = open_loop.Course(
        [*fleets, *readers],
        list(actions.values()),
        timetable.starts(plan.stretches, list(actions)),
        plan.zero,
        plan.service_pid,
        plan.database_pid,
    )
    generator.still_memory()
    load = await open_loop.drive(course, seconds=plan.seconds)
    return Day(load, {one.name: one.samples for one in course.runs})
