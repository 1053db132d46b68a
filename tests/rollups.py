"""Trips of students, and the hours and days that they are rolled up to, without waiting for the roller."""

from __future__ import annotations

import datetime
import random
from collections.abc import Iterable
from typing import NamedTuple

import psycopg

from tests import conftest

HOUR, DAY = datetime.timedelta(hours=1), datetime.timedelta(days=1)


class Fix(NamedTuple):
    """A ping as far as it matters here."""

    timestamp: datetime.datetime
    device_id: int
    latitude: float
    longitude: float
    altitude: float | None = None


def wander(
    chance: random.Random, start: datetime.datetime, end: datetime.datetime, *, count: int
) -> list[Fix]:
    """Pings of three devices in bursts, with silences between, and instants that they share."""
    spans = [start + chance.random() * (end - start) for _ in range(max(1, count // 40))]
    fixes = {
        (timestamp, device_id): Fix(
            timestamp, device_id, chance.uniform(52, 53), chance.uniform(13, 14)
        )
        for _ in range(count)
        for timestamp in [
            (chance.choice(spans) + chance.randrange(90) * datetime.timedelta(minutes=1)).replace(
                second=0, microsecond=0
            )
        ]
        for device_id in (chance.choice((5, 7, 9)),)
        if timestamp < end
    }
    return sorted(fixes.values(), key=lambda one: (one.timestamp, -one.device_id))


def store(database: conftest.Database, student_id: int, fixes: Iterable[Fix]) -> None:
    """Puts pings into the table."""
    columns = 'student_id, "timestamp", device_id, latitude, longitude, altitude, received_at'
    with psycopg.connect(database.url, autocommit=True) as connection:
        copy = f"COPY geolocation_data ({columns}) FROM STDIN".encode()
        with connection.cursor().copy(copy) as rows:
            for fix in fixes:
                rows.write_row((student_id, *fix, fix.timestamp))


def roll(database: conftest.Database, to: datetime.datetime) -> None:
    """Rolls up every hour that has ended by then, and says so, as the roller does."""
    everyone = "0, 9223372036854775807, '2000-01-01 00:00:00+00'"
    database.query("UPDATE rollup_state SET watermark = $1, rolled_to = $1", to)
    database.query(f"SELECT roll_hours({everyone}, $1::timestamptz)", to)
    database.query(f"SELECT roll_days({everyone}, $1::timestamptz)", to)


def now() -> datetime.datetime:
    """This second."""
    return datetime.datetime.now(datetime.UTC).replace(microsecond=0)
