"""A school's phones have the network again in the same moment, and send one ping per request what they have kept."""

from __future__ import annotations

import time
from typing import NamedTuple

import click

from bench import dialects, drain, generator, replays, service, usage, world

# Some hours old, as after a morning without a network.
_AGE_MS = 6 * 3_600_000


class Plan(NamedTuple):
    """The options."""

    devices: int = 3500
    backlog: int = 200
    patience: float = 600.0


def run(plan: Plan) -> dict[str, object]:
    """The storm, and the count of rows."""
    with world.databases(with_replica=False) as on:
        tokens = [one.device_token for one in world.enrol(on, plan.devices)]
        with service.running(on) as target:
            kept = replays.Replays(
                dialects.APPS,
                tokens,
                port=target.port,
                pings=plan.backlog,
                start_ms=time.time_ns() // 1_000_000 - _AGE_MS,
            )
            dropped_before = usage.connects_dropped(target.pid)
            idle_mib = usage.rss_mib(target.pid)
            usage.forget_peak_rss(target.pid)
            click.echo(f"{plan.devices} phones send {plan.backlog} pings each", err=True)
            drained = generator.run(
                drain.run, drain.Plan(target.host, target.port, kept, plan.patience)
            )
            peak_mib = usage.peak_rss_mib(target.pid)
            dropped = usage.since(dropped_before, usage.connects_dropped(target.pid))
        rows = world.count_rows(on)
    acknowledged = drained.stored + drained.duplicate
    return {
        "seconds": drained.seconds,
        "pings_per_s": round(acknowledged / drained.seconds, 1),
        **drained.latency,
        **{f"first_{name}": value for name, value in drained.first.items()},
        "errors": drained.errors,
        "refused": sum(drained.refused.values()),
        "statuses": drained.refused,
        "return_fullest_to_mean": drained.comebacks.fullest_to_mean,
        "connects_dropped": dropped,
        "rss_mib": peak_mib,
        "rss_growth_mib": usage.since(idle_mib, peak_mib),
        "sent": drained.kept,
        "acknowledged": acknowledged,
        "rows": rows,
        "lost": max(0, acknowledged - rows),
        "valid": rows == acknowledged == drained.kept,
        "postgresql": on.servers.version,
    }
