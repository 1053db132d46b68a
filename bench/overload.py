"""Three times what the service can take: what it still stores, and how fast it refuses the rest."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Sequence
from typing import NamedTuple

from bench import (
    aftermath,
    bodies,
    closed_loop,
    flood,
    generator,
    greedy,
    ingest,
    service,
    usage,
    world,
)

_STORED_BATCH = b'"stored":100,"duplicate":0,"rejected":[]}'
# Backlogs have days of their own, so that no ping comes twice.
_OLDEST_DAYS = 80
_DAY_MS = 86_400_000
# For the generators' start and their connects.
_START_SECONDS, _CONNECTS_PER_SECOND = 4.0, 1000.0
_CALM_SECONDS = 2.0
# The capacity after a flood to that before it, at the median: further apart, and the machine did
# something else meanwhile.
_LEAST_STEADY, _MOST_STEADY = 0.8, 1.25


class Plan(NamedTuple):
    """The options; `greedy_pairs` laps of `greedy_seconds` without and with the greedy device."""

    devices: int = 5000
    # Of each, with the capacity measured between them: machines are noisy.
    rounds: int = 4
    seconds: float = 30.0
    warmup: float = 5.0
    factor: float = 3.0
    generators: int = 2
    capacity_seconds: float = 4.0
    greedy_pairs: int = 5
    greedy_seconds: float = 10.0


QUICK = Plan(
    devices=500,
    rounds=1,
    seconds=5.0,
    warmup=2.0,
    capacity_seconds=2.0,
    greedy_pairs=1,
    greedy_seconds=3.0,
)


class Lap(NamedTuple):
    """What is sent, over how many sockets its capacity is measured, and whether phones obey."""

    name: str
    pings: int
    capacity_sockets: int
    ending: bytes
    obeying: bool


_LAPS = (
    Lap("stubborn", 1, 128, ingest.STORED, False),
    Lap("bodies", bodies.BACKLOG_PINGS, 16, _STORED_BATCH, False),
)
_SLOW_LAPS = (
    Lap("slow_stubborn", 1, 16, ingest.STORED, False),
    Lap("slow_obeying", 1, 16, ingest.STORED, True),
)


def run(plan: Plan) -> dict[str, object]:
    """All laps on one service: the greedy ones and two as it is, two with a slow database."""
    with world.databases(with_replica=False) as on:
        tokens = [one.device_token for one in world.enrol(on, plan.devices)]
        with service.running(on) as target:
            course = _Course(plan, target, tokens)
            # First: after a flood the disk still writes, which is told apart from nothing.
            pairs = greedy.run(target, tokens, pairs=plan.greedy_pairs, seconds=plan.greedy_seconds)
            laps = {lap.name: course.lap(lap) for lap in _LAPS}
            world.slow_down(on)
            laps |= {lap.name: course.lap(lap) for lap in _SLOW_LAPS}
        rows = world.count_rows(on)
    acknowledged = course.acknowledged + pairs.acknowledged
    return {
        **{
            f"{name}_{key}": value for name, values in laps.items() for key, value in values.items()
        },
        **{f"greedy_{name}": value for name, value in pairs.values().items()},
        "errors": course.errors + pairs.errors,
        "rows": rows,
        "acknowledged": acknowledged,
        # More rows than acknowledged are pings whose answer was a refusal in doubt.
        "lost": max(0, acknowledged - rows),
        "valid": rows >= acknowledged and course.is_fair,
        "postgresql": on.servers.version,
    }


class _Course:
    """What the laps share."""

    def __init__(self, plan: Plan, target: service.Service, tokens: Sequence[str]) -> None:
        self.acknowledged = self.errors = 0
        # False when a lap cannot be compared with its capacity.
        self.is_fair = True
        self._plan = plan
        self._target = target
        self._tokens = tokens
        self._ages_days = itertools.count(_OLDEST_DAYS, -1)

    def lap(self, lap: Lap) -> dict[str, object]:
        """The capacity, a flood, the capacity again, and so on; numbers are pings per second."""
        before_mib = usage.rss_mib(self._target.pid)
        usage.forget_peak_rss(self._target.pid)
        closed = [self._capacity(lap)]
        floods: list[list[aftermath.Flooded]] = []
        for _ in range(self._plan.rounds):
            floods.append(self._flood(lap, self._plan.factor * closed[-1].per_second))
            closed.append(self._capacity(lap))
        peak_mib = usage.peak_rss_mib(self._target.pid)
        generators = list(itertools.chain.from_iterable(floods))
        self.acknowledged += lap.pings * (
            sum(one.acknowledged for one in closed) + sum(one.acknowledged for one in generators)
        )
        self.errors += sum(one.errors for one in closed) + sum(one.errors for one in generators)
        around = list(itertools.pairwise(one.per_second for one in closed))
        steady = statistics.median(after / before for before, after in around)
        self.is_fair &= _LEAST_STEADY < steady < _MOST_STEADY
        values = aftermath.values(
            floods,
            # What else the machine did before and after, it did meanwhile.
            capacities=[lap.pings * statistics.mean(pair) for pair in around],
            pings=lap.pings,
            seconds=self._plan.seconds,
        )
        values |= {
            "capacity_after_to_before": round(steady, 3),
            "rss_mib": peak_mib,
            "rss_growth_mib": usage.since(before_mib, peak_mib),
        }
        aftermath.tell(lap.name, values)
        return values

    def _capacity(self, lap: Lap) -> closed_loop.Lap:
        target = self._target
        # Until the overload of before is over: what it refuses would count as errors.
        time.sleep(_CALM_SECONDS)
        return generator.run(
            closed_loop.run,
            closed_loop.Plan(
                target.host,
                target.port,
                target.pid,
                lap.capacity_sockets,
                self._requests(lap, self._tokens),
                0,
                lap.ending,
                1.0,
                self._plan.capacity_seconds,
            ),
        )

    def _flood(self, lap: Lap, requests_per_second: float) -> list[aftermath.Flooded]:
        target = self._target
        count = self._plan.generators
        shares = [self._tokens[number::count] for number in range(count)]
        connecting = _START_SECONDS + len(shares[0]) / _CONNECTS_PER_SECOND
        return generator.run_all(
            flood.run,
            [
                flood.Plan(
                    target.host,
                    target.port,
                    self._requests(lap, tokens),
                    len(tokens),
                    requests_per_second / count,
                    lap.obeying,
                    lap.ending,
                    time.monotonic() + connecting + self._plan.warmup,
                    self._plan.warmup,
                    self._plan.seconds,
                )
                for tokens in shares
            ],
        )

    def _requests(self, lap: Lap, tokens: Sequence[str]) -> bodies.Requests:
        port = self._target.port
        if lap.pings == 1:
            return bodies.Singles(tokens, port=port)
        start_ms = time.time_ns() // 1_000_000 - next(self._ages_days) * _DAY_MS
        return bodies.Backlogs(tokens, port=port, start_ms=start_ms)
