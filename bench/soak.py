"""An hour at a steady load with one fault in a hundred: nothing may grow, nothing may be lost."""

from __future__ import annotations

import re
import time
import urllib.request
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import click

from bench import (
    bodies,
    faults,
    generator,
    growth,
    ingest,
    open_loop,
    phones,
    questions,
    seed,
    service,
    stream,
    usage,
    world,
)
from geoingest.access import provision

_SAMPLE_SECONDS = 3.0
_READERS = 16
_FAULTY_DEVICES = 100
_WARMUP_SECONDS = 5.0
_TASKS = re.compile(r"^geoingest_asyncio_tasks(?:\{.*\})? (\S+)$", re.MULTILINE)


class Plan(NamedTuple):
    """The options; `faults` is a share of the pings' rate."""

    minutes: float = 60.0
    rate: float = 500.0
    reads: float = 20.0
    faults: float = 0.01
    devices: int = 1000


def run(plan: Plan, *, module: str = service.GEOINGEST[0]) -> dict[str, object]:
    """The whole soak; `failed` names what is wrong."""
    with world.databases(with_replica=True) as on:
        enrolled = world.enrol(on, plan.devices + _FAULTY_DEVICES)
        seeded = seed.one_each(on)
        with service.running(on, module=(module, *service.GEOINGEST[1:])) as target:
            with (
                generator.running(open_loop.run, _load(plan, enrolled, target)) as load,
                generator.running(faults.run, _faults(plan, enrolled, target)) as visitors,
            ):
                samples = _watch(load, target)
                loaded, visited = load.result(), visitors.result()
            peak_mib = usage.peak_rss_mib(target.pid)
        rows = world.count_rows(on) - seeded
    grew = growth.of(samples, minutes=plan.minutes)
    # A ping without a 200 may be there all the same: its refusal may have been in doubt.
    sent = round(plan.rate * _WARMUP_SECONDS) + round(plan.rate * plan.minutes * 60)
    unknown = sent - loaded.outcomes["pings"].acknowledged + visited.unknown
    failed = [*grew.problems, *_problems(loaded, visited, rows=rows, unknown=unknown)]
    for words in failed:
        click.echo(f"failed: {words}", err=True)
    values = {
        **_result(plan, loaded, visited, grew),
        "unknown": unknown,
        "rows": rows,
        "failed": failed,
    }
    return {**values, "rss_mib": peak_mib, "postgresql": on.servers.version}


def _load(
    plan: Plan, enrolled: Sequence[provision.Enrolled], target: service.Service
) -> open_loop.Plan:
    steady = enrolled[: plan.devices]
    singles = bodies.Singles([one.device_token for one in steady], port=target.port)
    newest = questions.newest(steady, port=target.port)
    streams = [
        # A machine with other work may be too slow for a moment; that is told, and is no fault here.
        stream.Stream("pings", plan.rate, plan.devices, singles, (ingest.STORED,), phones.REFUSALS),
        stream.Stream("reads", plan.reads, _READERS, newest, questions.SOURCES, phones.REFUSALS),
    ]
    return open_loop.Plan(
        target.host, target.port, target.pid, streams, _WARMUP_SECONDS, plan.minutes * 60
    )


def _faults(
    plan: Plan, enrolled: Sequence[provision.Enrolled], target: service.Service
) -> faults.Plan:
    tokens = [one.device_token for one in enrolled[plan.devices :]]
    per_second = plan.rate * plan.faults
    return faults.Plan(target.host, target.port, tokens, per_second, plan.minutes * 60)


def _watch(load: generator.Running[open_loop.Load], target: service.Service) -> list[growth.Sample]:
    started = time.monotonic()
    samples = []
    while not load.is_done(within_seconds=_SAMPLE_SECONDS):
        sample = _look(target, (time.monotonic() - started) / 60)
        samples.append(sample)
        if len(samples) % 20 == 0:
            click.echo(
                f"  {sample.minutes:5.1f} min, {sample.rss_mib} MiB,"
                f" {sample.open_files:g} files, {sample.tasks:g} tasks",
                err=True,
            )
    return samples


def _look(target: service.Service, minutes: float) -> growth.Sample:
    with urllib.request.urlopen(f"{target.admin_url}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return growth.Sample(
        minutes,
        usage.rss_mib(target.pid) or 0.0,
        usage.open_files(target.pid) or 0.0,
        sum(float(one) for one in _TASKS.findall(text)),
    )


def _problems(
    load: open_loop.Load, visited: faults.Outcome, *, rows: int, unknown: int
) -> Iterator[str]:
    """What went wrong besides growth, in words."""
    for name, one in load.outcomes.items():
        if one.errors:
            yield f"{one.errors} errors of {name}: {one.statuses}"
    if visited.wrong:
        yield f"faults answered otherwise than they should be: {visited.wrong}"
    acknowledged = load.outcomes["pings"].acknowledged + visited.stored
    if not acknowledged <= rows <= acknowledged + unknown:
        yield f"{rows} rows, but {acknowledged} acknowledged and {unknown} unknown"


def _result(
    plan: Plan, load: open_loop.Load, visited: faults.Outcome, grew: growth.Growth
) -> dict[str, object]:
    pings, reads = load.outcomes["pings"], load.outcomes["reads"]
    return {
        **pings.latency,
        **{f"reads_{name}": value for name, value in reads.latency.items()},
        **{
            f"{name}_slope{end}": round(value, 3)
            for name, one in grew.slopes.items()
            for end, value in (("", one.per_minute), ("_upper", one.upper))
        },
        "bound_per_minute": round(grew.bound, 2),
        "settling_minutes": round(grew.settling_minutes, 2),
        "errors": pings.errors + reads.errors,
        "refused": sum(
            one.statuses.get(status, 0) for one in (pings, reads) for status in phones.REFUSALS
        ),
        "statuses": {"pings": pings.statuses, "reads": reads.statuses},
        "faults": visited.done,
        "faults_wrong": sum(visited.wrong.values()),
        "faults_refused": visited.refused,
        "acknowledged": pings.acknowledged + visited.stored,
        "slip_p99_ms": load.slip_p99_ms,
        "valid": load.kept_schedule
        and pings.per_second >= open_loop.LEAST_RATE_SHARE * plan.rate
        and reads.per_second >= open_loop.LEAST_RATE_SHARE * plan.reads,
    }
