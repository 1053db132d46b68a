"""Weeks of school days for every student, made inside PostgreSQL."""

from __future__ import annotations

import datetime
import sys
import time
from collections.abc import Sequence

import click
import psycopg

from bench import world
from geoingest import db

# From seven to seventeen, a ping every five minutes, each student at a second of its own.
DAY_STARTS_HOURS = 7
PINGS_PER_DAY = 120
_STEP_SECONDS = 300
# In the order in which pings arrive, so that a day of one student lies scattered as in real life.
_DAY = """
INSERT INTO geolocation_data (
    student_id, "timestamp", device_id, latitude, longitude, accuracy, altitude, speed, course,
    battery, received_at
)
SELECT
    device.student_id,
    moment.at + make_interval(secs => device.device_id % 300),
    device.device_id,
    52.4 + 0.2 * random(),
    13.2 + 0.4 * random(),
    3 + 27 * random(),
    30 + 40 * random(),
    15 * random(),
    360 * random(),
    5 + 90 * random(),
    moment.at + make_interval(secs => device.device_id % 300 + 1)
FROM generate_series($1::timestamptz, $2::timestamptz, make_interval(secs => $3)) AS moment (at)
CROSS JOIN devices AS device
WHERE moment.at < now() - interval '10 minutes'
ORDER BY 2
"""
_ONE_EACH = """
INSERT INTO geolocation_data (
    student_id, "timestamp", device_id, latitude, longitude, received_at
)
SELECT student_id, now() - interval '1 hour', device_id, 52.5, 13.4, now()
FROM devices
WHERE student_id IS NOT NULL
"""


def fill(on: world.World, *, days: Sequence[datetime.datetime]) -> int:
    """Seeds these days and leaves nothing to be cleaned up later; the number of rows."""
    started = time.monotonic()
    seeded = 0
    with db.direct(on.url) as connection:
        for day in days:
            last = day + datetime.timedelta(seconds=_STEP_SECONDS * (PINGS_PER_DAY - 1))
            seeded += connection.execute(_DAY, [day, last, _STEP_SECONDS]).rowcount
            if sys.stderr.isatty():
                click.echo(f"\rseeded {day:%Y-%m-%d}, {seeded} rows", err=True, nl=False)
        connection.execute("VACUUM (ANALYZE) geolocation_data")
    with psycopg.connect(on.admin_url, autocommit=True) as admin:
        # Else the writes of the seeding would fall into the measured time.
        admin.execute("CHECKPOINT")
    click.echo(f"\rseeded {seeded} rows in {time.monotonic() - started:.0f} s     ", err=True)
    return seeded


def one_each(on: world.World) -> int:
    """A ping of an hour ago for each device, so that every question has an answer; how many."""
    with db.direct(on.url) as connection:
        return connection.execute(_ONE_EACH).rowcount


def school_days(days: int) -> list[datetime.datetime]:
    """When each of the last days began for the students, oldest first; today is not among them."""
    today = datetime.datetime.now(datetime.UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    start = today + datetime.timedelta(hours=DAY_STARTS_HOURS)
    return [start - datetime.timedelta(days=back) for back in range(days, 0, -1)]
