"""An hour at a steady load with one fault in a hundred: nothing may grow, nothing may be lost."""

from __future__ import annotations

import itertools
import re
import time
import urllib.request
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import click

from bench import (
    bodies,
    faults,
    generator,
    ingest,
    open_loop,
    questions,
    seed,
    service,
    slope,
    stream,
    usage,
    world,
)
from geoingest.access import provision

_SAMPLE_SECONDS = 3.0
_READERS = 16
_FAULTY_DEVICES = 100
_WARMUP_SECONDS = 5.0
# Growth that is none yet: buffers and arenas find their size.
_MOST_SETTLING_MINUTES = 5.0
# Per minute, whether MiB, files or tasks; a shorter look than half an hour may see so much in all.
_MOST_GROWTH, _MOST_IN_ALL = 1.0, 30.0
_TASKS = re.compile(r"^geoingest_asyncio_tasks(?:\{.*\})? (\S+)$", re.MULTILINE)


class Plan(NamedTuple):
    """The options; `faults` is a share of the pings' rate."""

    minutes: float = 60.0
    rate: float = 500.0
    reads: float = 20.0
    faults: float = 0.01
    devices: int = 1000


class Sample(NamedTuple):
    """What the service holds at one moment."""

    minutes: float
    rss_mib: float
    open_files: float
    tasks: float


class Growth(NamedTuple):
    """The slopes behind the time of settling, and what they may be."""

    slopes: dict[str, slope.Slope]
    bound: float
    settling_minutes: float

    @property
    def problems(self) -> list[str]:
        """What grows too fast, in words."""
        return [
            f"{name} grows by {one.per_minute:.2f} per minute, at most {one.upper:.2f}:"
            f" not below {self.bound:.2f}"
            for name, one in self.slopes.items()
            if one.upper >= self.bound
        ]


def run(plan: Plan, *, module: Sequence[str] = service.GEOINGEST) -> dict[str, object]:
    """The whole soak; `failed` names what is wrong."""
    with world.databases(with_replica=True) as on:
        enrolled = world.enrol(on, plan.devices + _FAULTY_DEVICES)
        seeded = seed.one_each(on)
        with service.running(on, module=module) as target:
            with (
                generator.running(open_loop.run, _load(plan, enrolled, target)) as load,
                generator.running(faults.run, _faults(plan, enrolled, target)) as visitors,
            ):
                samples = _watch(load, target)
                loaded, visited = load.result(), visitors.result()
            peak_mib = usage.peak_rss_mib(target.pid)
        rows = world.count_rows(on) - seeded
    values = _result(plan, loaded, visited, grown(samples, minutes=plan.minutes), rows=rows)
    return {**values, "rss_mib": peak_mib, "postgresql": on.servers.version}


def grown(samples: Sequence[Sample], *, minutes: float) -> Growth:
    """Judges what was seen: the first third of the time, at most five minutes, is for settling."""
    settling = min(_MOST_SETTLING_MINUTES, minutes / 3)
    seen = _least([one for one in samples if settling <= one.minutes <= minutes])
    at = [one.minutes for one in seen]
    slopes = {
        name: slope.fit(at, [getattr(one, name) for one in seen]) for name in Sample._fields[1:]
    }
    bound = max(_MOST_GROWTH, _MOST_IN_ALL / (minutes - settling))
    return Growth(slopes, bound, settling)


def _least(samples: Iterable[Sample]) -> list[Sample]:
    """Of each quarter minute: what is busy comes and goes, what leaked stays."""
    quarters = itertools.groupby(samples, key=lambda one: int(4 * one.minutes))
    return [Sample(*map(min, zip(*quarter, strict=True))) for _, quarter in quarters]


def _load(
    plan: Plan, enrolled: Sequence[provision.Enrolled], target: service.Service
) -> open_loop.Plan:
    phones = enrolled[: plan.devices]
    singles = bodies.Singles([one.device_token for one in phones], port=target.port)
    newest = questions.newest(phones, port=target.port)
    streams = [
        stream.Stream("pings", plan.rate, plan.devices, singles, (ingest.STORED,)),
        stream.Stream("reads", plan.reads, _READERS, newest, questions.SOURCES),
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


def _watch(load: generator.Running[open_loop.Load], target: service.Service) -> list[Sample]:
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


def _look(target: service.Service, minutes: float) -> Sample:
    with urllib.request.urlopen(f"{target.admin_url}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return Sample(
        minutes,
        usage.rss_mib(target.pid) or 0.0,
        usage.open_files(target.pid) or 0.0,
        sum(float(one) for one in _TASKS.findall(text)),
    )


def _result(
    plan: Plan, load: open_loop.Load, visited: faults.Outcome, growth: Growth, *, rows: int
) -> dict[str, object]:
    pings, reads = load.outcomes["pings"], load.outcomes["reads"]
    acknowledged = pings.acknowledged + visited.stored
    errors = pings.errors + reads.errors
    failed = growth.problems
    if errors:
        failed.append(f"{errors} errors: {pings.statuses}, {reads.statuses}")
    if visited.wrong:
        failed.append(f"faults answered otherwise than they should be: {visited.wrong}")
    if not acknowledged <= rows <= acknowledged + visited.unknown:
        failed.append(f"{rows} rows, but {acknowledged} acknowledged and {visited.unknown} unknown")
    return {
        **pings.latency,
        **{f"reads_{name}": value for name, value in reads.latency.items()},
        **{
            f"{name}_slope{end}": round(value, 3)
            for name, one in growth.slopes.items()
            for end, value in (("", one.per_minute), ("_upper", one.upper))
        },
        "bound_per_minute": round(growth.bound, 2),
        "settling_minutes": round(growth.settling_minutes, 2),
        "errors": errors,
        "statuses": {"pings": pings.statuses, "reads": reads.statuses},
        "faults": visited.done,
        "faults_wrong": sum(visited.wrong.values()),
        "faults_refused": visited.refused,
        "acknowledged": acknowledged,
        "unknown": visited.unknown,
        "rows": rows,
        "failed": failed,
        "slip_p99_ms": load.slip_p99_ms,
        "valid": load.kept_schedule
        and pings.per_second >= open_loop.LEAST_RATE_SHARE * plan.rate
        and reads.per_second >= open_loop.LEAST_RATE_SHARE * plan.reads,
    }
