"""Guardians ask while phones post: the newest position, and one day's track, from the disk and then from memory."""

from __future__ import annotations

import datetime
import random
from collections.abc import Sequence
from typing import NamedTuple

import click

from bench import (
    bodies,
    dashboards,
    generator,
    ingest,
    open_loop,
    questions,
    seed,
    service,
    stream,
    world,
)
from geoingest.access import provision

_READERS = 64
_STAFF = 8
_TRACK_LIMIT = 1000


class Plan(NamedTuple):
    """The options; rates are per second, `rate` of each kind of question; two laps of `seconds`."""

    students: int = 3500
    days: int = 89
    seconds: float = 30.0
    rate: float = 100.0
    pings: float = 500.0
    dashboards: float = 1.0
    warmup: float = 5.0


def run(plan: Plan) -> dict[str, object]:
    """The whole measurement: databases with replica, seed, service, load."""
    with world.databases(with_replica=False) as alone:
        enrolled = world.enrol(alone, plan.students)
        staff = dashboards.staff(alone)
        seeded = seed.fill(alone, days=seed.school_days(plan.days))
        on = world.add_replica(alone)
        world.forget(on)
        with service.running(on) as target:
            click.echo(
                f"{plan.rate:g}/s of each question and {plan.pings:g} pings/s"
                f" for {plan.seconds:g} s, twice",
                err=True,
            )
            # What the first asked, the second asks again.
            cold, warm = (_lap(plan, target, enrolled, staff) for _ in range(2))
        rows = world.count_rows(on) - seeded
    acknowledged = sum(one.outcomes["pings"].acknowledged for one in (cold, warm))
    return {
        **{f"cold_{name}": value for name, value in _latencies(cold).items()},
        **_latencies(warm),
        **_facts(warm),
        "errors": sum(one.errors for load in (cold, warm) for one in load.outcomes.values()),
        "valid": rows == acknowledged and all(_is_fair(plan, one) for one in (cold, warm)),
        "seeded_rows": seeded,
        "points_per_track": seed.PINGS_PER_DAY,
        "postgresql": on.servers.version,
    }


def _lap(
    plan: Plan, target: service.Service, enrolled: Sequence[provision.Enrolled], staff: str
) -> open_loop.Load:
    load = generator.run(
        open_loop.run,
        open_loop.Plan(
            target.host,
            target.port,
            target.pid,
            _streams(plan, enrolled, staff, target.port),
            plan.warmup,
            plan.seconds,
        ),
    )
    told = ", ".join(
        f"{name} p50 {one.latency['p50_ms']} p99 {one.latency['p99_ms']} ms"
        for name, one in load.outcomes.items()
    )
    click.echo(f"  {told}", err=True)
    return load


def _streams(
    plan: Plan, enrolled: Sequence[provision.Enrolled], staff: str, port: int
) -> list[stream.Stream]:
    phones = bodies.Singles([one.device_token for one in enrolled], port=port)
    return [
        *readers(enrolled, days=seed.school_days(plan.days), port=port, rate=plan.rate),
        stream.Stream(
            "dashboard",
            plan.dashboards,
            _STAFF,
            dashboards.asked(staff, port=port),
            questions.SOURCES,
        ),
        stream.Stream("pings", plan.pings, plan.students, phones, (ingest.STORED,)),
    ]


def readers(
    enrolled: Sequence[provision.Enrolled],
    *,
    days: Sequence[datetime.datetime],
    port: int,
    rate: float,
) -> list[stream.Stream]:
    """Two streams of questions: the newest position, and the track of one of the days."""
    newest = questions.newest(enrolled, port=port)
    tracks = questions.Questions(_track_questions(days, enrolled, port))
    return [
        stream.Stream(name, rate, _READERS, asked, questions.SOURCES)
        for name, asked in (("location", newest), ("track", tracks))
    ]


def _track_questions(
    days: Sequence[datetime.datetime], enrolled: Sequence[provision.Enrolled], port: int
) -> list[bytes]:
    """Three random days of each student."""
    chooser = random.Random(5)
    asked = []
    for one in enrolled:
        for _ in range(3):
            start = chooser.choice(days).replace(hour=0)
            end = start + datetime.timedelta(days=1)
            window = f"from={start:%Y-%m-%dT%H:%M:%SZ}&to={end:%Y-%m-%dT%H:%M:%SZ}"
            path = (
                f"/v1/students/{one.student_id}/track?{window}&resolution=raw&limit={_TRACK_LIMIT}"
            )
            asked.append(questions.get(path, one.viewer_token, port=port))
    return asked


def _latencies(load: open_loop.Load) -> dict[str, object]:
    return {
        f"{name}_{key}": value
        for name, one in load.outcomes.items()
        for key, value in one.latency.items()
    }


def _facts(load: open_loop.Load) -> dict[str, object]:
    reads = {name: load.outcomes[name] for name in ("location", "track", "dashboard")}
    return {
        "replica_share": questions.replica_share(reads.values()),
        "statuses": {name: one.statuses for name, one in load.outcomes.items()},
        "reads_per_s": {name: one.per_second for name, one in reads.items()},
        "pings_per_s": load.outcomes["pings"].per_second,
        "slip_p99_ms": load.slip_p99_ms,
        "service_cpu_share": load.service_cpu_share,
        "generator_cpu_share": load.own_cpu_share,
    }


def _is_fair(plan: Plan, load: open_loop.Load) -> bool:
    """Whether the generator kept its schedule and all of it was answered."""
    # Of the few dashboards by chance some more or less are drawn.
    wanted = {"location": plan.rate, "track": plan.rate, "pings": plan.pings}
    return load.kept_schedule and all(
        load.outcomes[name].per_second >= open_loop.LEAST_RATE_SHARE * rate
        for name, rate in wanted.items()
    )
