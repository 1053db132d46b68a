"""A school's phones come back in the same moment: all connect at once, then all at once with a backlog."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

import click

from bench import backlog, drain, generator, service, usage, world

MOST_CONNECT_SECONDS = 3.0
# What is gathered is some hours old; its instants never meet the one ping of now.
_BACKLOG_AGE_MS = 6 * 3_600_000


class Plan(NamedTuple):
    """The options; `singles` is the share of phones that send one ping per request."""

    devices: int = 5000
    backlog: int = 200
    singles: float = 0.1
    patience: float = 300.0
    workers: int = 1


def run(plan: Plan, *, module: str = service.GEOINGEST[0]) -> dict[str, object]:
    """Both storms on one server, and the count of rows."""
    # Told only when it is not the default.
    settings = {"GEOINGEST_WORKERS": str(plan.workers)} if plan.workers != 1 else {}
    with world.databases(with_replica=False) as on:
        tokens = [one.device_token for one in world.enrol(on, plan.devices)]
        program = (module, *service.GEOINGEST[1:])
        with service.running(on, module=program, settings=settings) as target:
            dropped_before = usage.connects_dropped(target.pid)
            connected = _storm(plan, target, tokens, pings=1, age_ms=0)
            dropped = usage.since(dropped_before, usage.connects_dropped(target.pid))
            idle_mib = usage.rss_mib(target.pid)
            drained = _storm(plan, target, tokens, pings=plan.backlog, age_ms=_BACKLOG_AGE_MS)
            peak_mib = usage.peak_rss_mib(target.pid)
            dropped_in_all = usage.since(dropped_before, usage.connects_dropped(target.pid))
        rows = world.count_rows(on)
    acknowledged = sum(one.stored + one.duplicate for one in (connected, drained))
    sent = connected.kept + drained.kept
    return {
        "connect_slowest_ms": connected.first["max_ms"],
        "connect_p50_ms": connected.first["p50_ms"],
        "connect_errors": connected.errors,
        "connect_refused": sum(connected.refused.values()),
        "connect_stored_seconds": connected.seconds,
        "connects_dropped": dropped,
        "drain_seconds": drained.seconds,
        "drain_pings_per_s": round(drained.kept / drained.seconds, 1),
        **{f"drain_{name}": value for name, value in drained.latency.items()},
        "drain_errors": drained.errors,
        "drain_refused": sum(drained.refused.values()),
        "drain_connects_dropped": usage.since(dropped, dropped_in_all),
        "return_fullest_to_mean": drained.comebacks.fullest_to_mean,
        "rss_mib": peak_mib,
        "rss_growth_mib": usage.since(idle_mib, peak_mib),
        "sent": sent,
        "acknowledged": acknowledged,
        "rows": rows,
        "lost": acknowledged - rows,
        "valid": rows == acknowledged == sent,
        "postgresql": on.servers.version,
    }


def _storm(
    plan: Plan, target: service.Service, tokens: Sequence[str], *, pings: int, age_ms: int
) -> drain.Drained:
    click.echo(f"{plan.devices} connects at once, {pings} pings each", err=True)
    kept = backlog.Kept(
        tokens,
        port=target.port,
        pings=pings,
        start_ms=time.time_ns() // 1_000_000 - age_ms,
        singles=plan.singles,
    )
    drained = generator.run(drain.run, drain.Plan(target.host, target.port, kept, plan.patience))
    click.echo(
        f"  {drained.kept} pings in {drained.seconds} s, first answers within {drained.first['max_ms']} ms,"
        f" errors {drained.errors}, refused {drained.refused}",
        err=True,
    )
    return drained
