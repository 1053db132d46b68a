"""What a ping costs in the protocol of each app, beside our own: closed loop, all in turn."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from bench import closed_loop, dialects, replays, service, world

_STUDENTS = 3500
_DAY_MS = 86_400_000
ALL = (dialects.NATIVE, *dialects.APPS, dialects.NATIVE_BATCH, dialects.OVERLAND_BATCH)
# What each is compared with: our own, with as many pings per request.
_OWN = {one.pings: one.name for one in (dialects.NATIVE, dialects.NATIVE_BATCH)}


class Plan(NamedTuple):
    """The options."""

    rounds: int = 5
    seconds: float = 4.0
    warmup: float = 1.0
    sockets: int = 128
    batch_sockets: int = 32


def run(plan: Plan) -> dict[str, object]:
    """All rounds on one service and one database, which grows for all alike."""
    with world.databases(with_replica=False) as on:
        tokens = [one.device_token for one in world.enrol(on, _STUDENTS)]
        with service.running(on) as target:
            course = _Course(plan, target, tokens)
            rounds = [{one.name: course.lap(one) for one in ALL} for _ in range(plan.rounds)]
        rows = world.count_rows(on)
    acknowledged = sum(laps[one.name].acknowledged * one.pings for laps in rounds for one in ALL)
    return {
        **_result(rounds),
        "rows": rows,
        "acknowledged": acknowledged,
        "valid": rows == acknowledged,
        "postgresql": on.servers.version,
    }


class _Course:
    """What the laps of all rounds share."""

    def __init__(self, plan: Plan, target: service.Service, tokens: Sequence[str]) -> None:
        self._plan = plan
        self._target = target
        now_ms = time.time_ns() // 1_000_000
        # A day of its own for each, so that no ping comes twice.
        self._requests = {
            one.name: replays.Messages(
                one, tokens, port=target.port, start_ms=now_ms - (2 + number) * _DAY_MS
            )
            for number, one in enumerate(ALL)
        }
        self._next = dict.fromkeys(self._requests, 0)

    def lap(self, dialect: dialects.Dialect) -> closed_loop.Lap:
        """The next of one of them."""
        plan, target, name = self._plan, self._target, dialect.name
        lap = closed_loop.lap(
            name,
            closed_loop.Plan(
                target.host,
                target.port,
                target.pid,
                plan.sockets if dialect.pings == 1 else plan.batch_sockets,
                self._requests[name],
                self._next[name],
                dialect.ending,
                plan.warmup,
                plan.seconds,
            ),
        )
        self._next[name] = lap.following
        return lap


def _result(rounds: Sequence[Mapping[str, closed_loop.Lap]]) -> dict[str, object]:
    """Medians; ratios are taken within a round, so that a slow minute weighs on both sides."""
    ratios = {
        one.name: [
            round(laps[one.name].per_second / laps[_OWN[one.pings]].per_second, 3)
            for laps in rounds
        ]
        for one in ALL
        if one.name not in _OWN.values()
    }
    return {
        **{f"{name}_to_native": _median(values) for name, values in ratios.items()},
        "ways": {
            one.name: {
                "requests_per_s": _median(laps[one.name].per_second for laps in rounds),
                "pings_per_s": _median(laps[one.name].per_second * one.pings for laps in rounds),
                "service_cpu_us_per_ping": _median(
                    None if cpu_us is None else cpu_us / one.pings
                    for cpu_us in (laps[one.name].service_us_per_request for laps in rounds)
                ),
                "service_cpu_share": _median(laps[one.name].service_cpu_share for laps in rounds),
                "generator_cpu_share": _median(laps[one.name].own_cpu_share for laps in rounds),
            }
            for one in ALL
        },
        "errors": sum(lap.errors for laps in rounds for lap in laps.values()),
        "per_round": {
            "to_native": ratios,
            "requests_per_s": {
                one.name: [laps[one.name].per_second for laps in rounds] for one in ALL
            },
        },
    }


def _median(values: Iterable[float | None]) -> float | None:
    known = [one for one in values if one is not None]
    return round(statistics.median(known), 3) if known else None
