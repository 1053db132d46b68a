"""Thousands of phones post at a steady rate: how long until a ping is committed and answered."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import NamedTuple

import click

from bench import (
    bodies,
    generator,
    open_loop,
    questions,
    seed,
    service,
    stream,
    usage,
    world,
)
from geoingest.access import provision

_READERS = 64

STORED = b'"stored":1,"duplicate":0,"rejected":[]}'


class Plan(NamedTuple):
    """The options; `reads` are questions per second beside the pings."""

    devices: int = 5000
    rate: float = 1000.0
    seconds: float = 60.0
    warmup: float = 5.0
    reads: float = 0.0
    jobs: bool = False


def run(plan: Plan) -> dict[str, object]:
    """The whole measurement: databases with replica, service, load, and the count of rows."""
    with world.databases(with_replica=True) as on:
        enrolled = world.enrol(on, plan.devices)
        seeded = seed.one_each(on) if plan.reads else 0
        beside = service.jobs(on) if plan.jobs else contextlib.nullcontext()
        with service.running(on) as target, beside:
            click.echo(
                f"{plan.rate:g} pings/s from {plan.devices} sockets"
                f" and {plan.reads:g} reads/s for {plan.seconds:g} s",
                err=True,
            )
            load = generator.run(
                open_loop.run,
                open_loop.Plan(
                    target.host,
                    target.port,
                    target.pid,
                    _streams(plan, enrolled, target.port),
                    plan.warmup,
                    plan.seconds,
                ),
            )
            rss_mib = usage.peak_rss_mib(target.pid)
        rows = world.count_rows(on) - seeded
    result = {**_result(plan, load, rows), **_reads(load.outcomes.get("reads"))}
    return {**result, "rss_mib": rss_mib, "postgresql": on.servers.version}


def _streams(plan: Plan, enrolled: Sequence[provision.Enrolled], port: int) -> list[stream.Stream]:
    singles = bodies.Singles([one.device_token for one in enrolled], port=port)
    pings = stream.Stream("pings", plan.rate, plan.devices, singles, (STORED,))
    if not plan.reads:
        return [pings]
    newest = questions.newest(enrolled, port=port)
    return [pings, stream.Stream("reads", plan.reads, _READERS, newest, questions.SOURCES)]


def _result(plan: Plan, load: open_loop.Load, rows: int) -> dict[str, object]:
    outcome = load.outcomes["pings"]
    wanted = {"pings": plan.rate, "reads": plan.reads}
    return {
        **outcome.latency,
        "errors": sum(one.errors for one in load.outcomes.values()),
        "statuses": outcome.statuses,
        "achieved_rate": outcome.per_second,
        "valid": load.kept_schedule
        and all(
            one.per_second >= open_loop.LEAST_RATE_SHARE * wanted[name]
            for name, one in load.outcomes.items()
        )
        and rows == outcome.acknowledged,
        "slip_p99_ms": load.slip_p99_ms,
        "service_cpu_share": load.service_cpu_share,
        "generator_cpu_share": load.own_cpu_share,
        "busy_sockets": outcome.busy,
        "waited_for_socket": outcome.waited,
        "acknowledged": outcome.acknowledged,
        "rows": rows,
    }


def _reads(outcome: stream.Outcome | None) -> dict[str, object]:
    if outcome is None:
        return {}
    return {
        **{f"reads_{name}": value for name, value in outcome.latency.items()},
        "reads_per_s": outcome.per_second,
        "reads_statuses": outcome.statuses,
        "replica_share": questions.replica_share([outcome]),
    }
