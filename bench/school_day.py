"""A school's day in some minutes: rush, bells, buses, guardians asking, and an import in the middle."""

from __future__ import annotations

import concurrent.futures
import contextlib
import datetime
import threading
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import click

from bench import (
    bodies,
    dashboards,
    day,
    diary,
    entrances,
    generator,
    ingest,
    phones,
    provision,
    questions,
    reads,
    seed,
    service,
    stream,
    timetable,
    world,
)
from geoingest.access import provision as access

# Their clocks say an hour ago, so that these never meet the pings of now,
# and half a second, so that they never meet the seeded ones.
_KEPT_AGE_MS = 3_600_500
# Students of the school that its staff watches.
_SCHOOL = 3500
_SOCKETS, _STAFF = 64, 8
# For the generator's own start.
_LEAD_SECONDS = 8.0


class Plan(NamedTuple):
    """The options; `students` are those imported at midday, `days` those seeded before."""

    minutes: float = 4.5
    devices: int = 5000
    students: int = 50_000
    days: int = 5


QUICK = Plan(minutes=1.0, devices=500, students=5_000, days=1)


def run(plan: Plan) -> dict[str, object]:
    """The whole measurement: databases with replica and jobs, seed, service, the day, the count of rows."""
    phases = timetable.day(minutes=plan.minutes, devices=plan.devices)
    with world.databases(with_replica=False) as alone:
        enrolled = world.enrol(alone, plan.devices)
        seeded = seed.fill(alone, days=seed.school_days(plan.days))
        # Of one school; the others are the platform's other schools.
        staff = dashboards.staff(alone, [one.student_id for one in enrolled[:_SCHOOL]])
        emails = entrances.seed(alone)
        on = world.add_replica(alone)
        with (
            service.running(on, settings=entrances.SETTINGS) as target,
            service.jobs(on),
        ):
            beside = _beside(staff, emails, target.port)
            load = _load(plan, phases, on, target, enrolled, beside=beside)
            imports_at = timetable.imports_at(phases)
            with _importing(on, plan.students, at=load.zero + imports_at) as imported:
                click.echo(
                    f"{plan.devices} phones for {sum(one.seconds for one in phases):.0f} s",
                    err=True,
                )
                done = generator.run(day.run, load)
                bulk = diary.Import(imports_at, plan.students, *imported.result())
        rows = world.count_rows(on) - seeded
    result = diary.result(phases, load.stretches, done, bulk, rows=rows)
    return {**result, "sockets": plan.devices, "postgresql": on.servers.version}


def _load(
    plan: Plan,
    phases: Sequence[timetable.Phase],
    on: world.World,
    target: service.Service,
    enrolled: Sequence[access.Enrolled],
    *,
    beside: Sequence[stream.Stream],
) -> day.Plan:
    on_buses = round(plan.devices * timetable.BUS_SHARE)
    phones = len(enrolled) - on_buses
    return day.Plan(
        target.host,
        target.port,
        target.pid,
        on.servers.primary.pid,
        [
            _fleet("phones", enrolled[:phones], target.port),
            _fleet("bus", enrolled[phones:], target.port),
        ],
        [*reads.readers(enrolled, days=_days(plan), port=target.port, rate=0), *beside],
        timetable.stretches(phases, phones=phones, on_buses=on_buses),
        sum(one.seconds for one in phases),
        time.monotonic() + _LEAD_SECONDS,
    )


def _beside(staff: str, emails: Sequence[str], port: int) -> list[stream.Stream]:
    """Who logs in, and who watches a whole school; when, the timetable knows."""
    return [
        stream.Stream(
            "logins",
            0,
            _SOCKETS,
            entrances.Logins(emails, port=port),
            (entrances.LOGGED_IN,),
            phones.REFUSALS,
        ),
        stream.Stream(
            "dashboard", 0, _STAFF, dashboards.asked(staff, port=port), questions.SOURCES
        ),
    ]


def _fleet(name: str, enrolled: Sequence[access.Enrolled], port: int) -> day.Phones:
    tokens = [one.device_token for one in enrolled]
    start_ms = time.time_ns() // 1_000_000_000 * 1000 - _KEPT_AGE_MS
    return day.Phones(
        stream.Stream(
            name,
            # The timetable knows better.
            0,
            len(tokens),
            bodies.Singles(tokens, port=port),
            (ingest.STORED, diary.KEPT_STORED),
        ),
        bodies.Backlogs(tokens, port=port, start_ms=start_ms, pings=diary.KEPT_PINGS),
    )


def _days(plan: Plan) -> list[datetime.datetime]:
    """Every other question is about today."""
    before = seed.school_days(plan.days)
    return [*before, *[before[-1] + datetime.timedelta(days=1)] * len(before)]


@contextlib.contextmanager
def _importing(
    on: world.World, students: int, *, at: float
) -> Iterator[concurrent.futures.Future[provision.Enrolled]]:
    """The import waits for its moment beside us."""
    cancelled = threading.Event()

    def import_() -> provision.Enrolled:
        if cancelled.wait(at - time.monotonic()):
            return provision.Enrolled(0.0, 0)
        return provision.enrol(on, students)

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        try:
            yield pool.submit(import_)
        finally:
            cancelled.set()
