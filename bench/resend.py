"""Phones send all that they have once more, point by point, as GPSLogger does: what do others notice?"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

import click

from bench import (
    bodies,
    dialects,
    drain,
    generator,
    ingest,
    open_loop,
    replays,
    service,
    stream,
    world,
)

_AGE_MS = 6 * 3_600_000
_PATIENCE_SECONDS = 300.0


class Plan(NamedTuple):
    """The options; `rate` and `pings` are per second."""

    devices: int = 3500
    resenders: int = 500
    points: int = 200
    rate: float = 2000.0
    pings: float = 500.0
    seconds: float = 60.0
    warmup: float = 5.0


def run(plan: Plan) -> dict[str, object]:
    """The points once, then again and again beside new pings, and the count of rows."""
    with world.databases(with_replica=False) as on:
        tokens = [one.device_token for one in world.enrol(on, plan.devices + plan.resenders)]
        with service.running(on) as target:
            kept = replays.Replays(
                [dialects.GPSLOGGER],
                tokens[plan.devices :],
                port=target.port,
                pings=plan.points,
                start_ms=time.time_ns() // 1_000_000 - _AGE_MS,
            )
            click.echo(f"{plan.resenders} phones send {plan.points} points each", err=True)
            first = generator.run(
                drain.run, drain.Plan(target.host, target.port, kept, _PATIENCE_SECONDS)
            )
            click.echo(
                f"  {first.stored} in {first.seconds} s; now {plan.rate:g}/s of them again"
                f" beside {plan.pings:g} new pings/s for {plan.seconds:g} s",
                err=True,
            )
            load = generator.run(
                open_loop.run,
                open_loop.Plan(
                    target.host,
                    target.port,
                    target.pid,
                    _streams(plan, tokens[: plan.devices], kept, target.port),
                    plan.warmup,
                    plan.seconds,
                ),
            )
        rows = world.count_rows(on)
    others = load.outcomes["others"]
    return {
        **others.latency,
        "achieved_rate": others.per_second,
        **{f"resent_{name}": value for name, value in load.outcomes["resent"].latency.items()},
        "resent_rate": load.outcomes["resent"].per_second,
        "errors": first.errors + sum(one.errors for one in load.outcomes.values()),
        "statuses": {name: one.statuses for name, one in load.outcomes.items()},
        "slip_p99_ms": load.slip_p99_ms,
        "service_cpu_share": load.service_cpu_share,
        "generator_cpu_share": load.own_cpu_share,
        "stored_before": first.stored,
        "acknowledged": others.acknowledged,
        "resent": load.outcomes["resent"].acknowledged,
        "rows": rows,
        "valid": _is_valid(plan, load)
        and first.stored == kept.all_pings
        # All that was sent again was there.
        and rows == first.stored + others.acknowledged,
        "postgresql": on.servers.version,
    }


def _streams(
    plan: Plan, others: Sequence[str], kept: replays.Replays, port: int
) -> list[stream.Stream]:
    return [
        stream.Stream(
            "others",
            plan.pings,
            plan.devices,
            bodies.Singles(others, port=port),
            (ingest.STORED,),
        ),
        stream.Stream(
            "resent",
            plan.rate,
            plan.resenders,
            replays.Resends(kept),
            (dialects.GPSLOGGER.ending,),
        ),
    ]


def _is_valid(plan: Plan, load: open_loop.Load) -> bool:
    wanted = {"others": plan.pings, "resent": plan.rate}
    return load.kept_schedule and all(
        one.per_second >= open_loop.LEAST_RATE_SHARE * wanted[name]
        for name, one in load.outcomes.items()
    )
