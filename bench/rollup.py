"""A month of pings rolled up in one go, against reading the same rows; then pings that come late."""

from __future__ import annotations

import datetime
import time
from typing import NamedTuple

import click

from bench import seed, world
from geoingest import config, db
from geoingest.lifecycle import rollups

_READ = "SELECT count(*), sum(latitude), sum(longitude) FROM geolocation_data"
# One ping each of as many students, an hour further back from one to the next.
_LATE = """
INSERT INTO geolocation_data (
    student_id, "timestamp", device_id, latitude, longitude, received_at
)
SELECT
    device.student_id,
    now() - make_interval(days => 1, hours => number::integer % 500),
    device.device_id,
    52.5,
    13.4,
    now()
FROM generate_series(1, $1) AS number
INNER JOIN devices AS device ON number = device.device_id
"""


class Plan(NamedTuple):
    """The options; 3,500 students of 120 pings a day are ten million in 24 days."""

    students: int = 3500
    days: int = 24
    late: int = 1000


def run(plan: Plan) -> dict[str, object]:
    """Seconds, and pings per second."""
    with world.databases(with_replica=False) as on:
        world.enrol(on, plan.students)
        pings = seed.fill(on, days=seed.school_days(plan.days))
        with db.direct(on.url) as connection:
            read = [_timed(connection, _READ) for _ in range(3)]
            now = datetime.datetime.now(datetime.UTC)
            started = time.perf_counter()
            rolled = rollups.run_once(connection, config.Config(), now)
            seconds = time.perf_counter() - started
            click.echo(f"rolled in {seconds:.1f} s: {rolled}", err=True)
            read += [_timed(connection, _READ) for _ in range(3)]
            connection.execute(_LATE, [plan.late])
            started = time.perf_counter()
            late = rollups.run_once(connection, config.Config(), now)
            late_seconds = time.perf_counter() - started
        read_seconds = sorted(read)[len(read) // 2]
    return {
        "pings": pings,
        "student_hours": rolled.hours,
        "student_days": rolled.days,
        "seconds": round(seconds, 2),
        "pings_per_s": round(pings / seconds),
        "read_seconds": round(read_seconds, 2),
        "seconds_to_read": round(seconds / read_seconds, 1),
        "late_hours": late.hours,
        "late_seconds": round(late_seconds, 3),
        "valid": late.hours == plan.late,
        "postgresql": on.servers.version,
    }


def _timed(connection: db.DirectConnection, statement: str) -> float:
    started = time.perf_counter()
    connection.execute(statement.encode()).fetchone()
    return time.perf_counter() - started
