"""Thousands of phones post at a steady rate: how long until a ping is committed and answered."""

from __future__ import annotations

from typing import NamedTuple

import click

from bench import bodies, generator, open_loop, service, stream, usage, world

STORED = b'"stored":1,"duplicate":0,"rejected":[]}'


class Plan(NamedTuple):
    """The options."""

    devices: int = 5000
    rate: float = 1000.0
    seconds: float = 60.0
    warmup: float = 5.0


def run(plan: Plan) -> dict[str, object]:
    """The whole measurement: databases with replica, service, load, and the count of rows."""
    with world.databases(with_replica=True) as on:
        enrolled = world.enrol(on, plan.devices)
        with service.running(on) as target:
            phones = stream.Stream(
                "pings",
                plan.rate,
                plan.devices,
                bodies.Singles([one.device_token for one in enrolled], port=target.port),
                (STORED,),
            )
            click.echo(
                f"{plan.rate:g} pings/s from {plan.devices} sockets for {plan.seconds:g} s",
                err=True,
            )
            load = generator.run(
                open_loop.run,
                open_loop.Plan(
                    target.host, target.port, target.pid, [phones], plan.warmup, plan.seconds
                ),
            )
            rss_mib = usage.peak_rss_mib(target.pid)
        result = _result(plan, load, rss_mib, world.count_rows(on))
        return {**result, "postgresql": on.servers.version}


def _result(
    plan: Plan, load: open_loop.Load, rss_mib: float | None, rows: int
) -> dict[str, object]:
    outcome = load.outcomes["pings"]
    return {
        **outcome.latency,
        "errors": outcome.errors,
        "statuses": outcome.statuses,
        "achieved_rate": outcome.per_second,
        "valid": load.kept_schedule
        and outcome.per_second >= open_loop.LEAST_RATE_SHARE * plan.rate
        and rows == outcome.acknowledged,
        "slip_p99_ms": load.slip_p99_ms,
        "rss_mib": rss_mib,
        "service_cpu_share": load.service_cpu_share,
        "generator_cpu_share": load.own_cpu_share,
        "busy_sockets": outcome.busy,
        "waited_for_socket": outcome.waited,
        "acknowledged": outcome.acknowledged,
        "rows": rows,
    }
