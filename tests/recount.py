"""Hours and days of pings, counted again in Python from nothing but the pings."""

from __future__ import annotations

import collections
import datetime
import itertools
import math
import zoneinfo
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import pytest

from tests import conftest

_EARTH_M = 6371008.8


class Fix(NamedTuple):
    """One ping, in the order in which a student's pings follow each other."""

    student_id: int
    timestamp: datetime.datetime
    device_id: int
    latitude: float
    longitude: float
    accuracy: float | None = None
    speed: float | None = None


Zones = Mapping[int, str]
Row = tuple[object, ...]


def check(database: conftest.Database, fixes: Iterable[Fix], zones: Zones) -> None:
    """Both tables hold what these pings come to, and nothing else."""
    hours = _by_hour(fixes, zones)
    days: dict[tuple[int, datetime.date], list[list[Fix]]] = collections.defaultdict(list)
    for (student_id, hour), within in sorted(hours.items()):
        zone = zoneinfo.ZoneInfo(zones.get(student_id, "UTC"))
        days[student_id, hour.astimezone(zone).date()].append(within)
    _compare(
        database.query(
            "SELECT student_id, hour, pings, devices, first_at, last_at, first_latitude, last_longitude,"
            " latitude, longitude, south, west, north, east, distance_m, moving_seconds, max_speed, accuracy"
            " FROM geolocation_hourly ORDER BY student_id, hour"
        ),
        [
            (*key, *_facts([within]), _mean_accuracy(within))
            for key, within in sorted(hours.items())
        ],
    )
    _compare(
        database.query(
            "SELECT student_id, day, pings, devices, first_at, last_at, first_latitude, last_longitude,"
            " latitude, longitude, south, west, north, east, distance_m, moving_seconds, max_speed, accuracy"
            " FROM geolocation_daily ORDER BY student_id, day"
        ),
        [(*key, *_facts(within), _mean_of_means(within)) for key, within in sorted(days.items())],
    )


def metres(one: Fix, other: Fix) -> float:
    """Great-circle distance, by the cosine of a vector product instead of half angles."""
    (x1, y1, z1), (x2, y2, z2) = map(_vector, (one, other))
    cross = (y1 * z2 - z1 * y2, z1 * x2 - x1 * z2, x1 * y2 - y1 * x2)
    dot = x1 * x2 + y1 * y2 + z1 * z2
    return _EARTH_M * math.atan2(math.hypot(*cross), dot)


def _vector(fix: Fix) -> tuple[float, float, float]:
    latitude, longitude = math.radians(fix.latitude), math.radians(fix.longitude)
    return (
        math.cos(latitude) * math.cos(longitude),
        math.cos(latitude) * math.sin(longitude),
        math.sin(latitude),
    )


def _by_hour(fixes: Iterable[Fix], zones: Zones) -> dict[tuple[int, datetime.datetime], list[Fix]]:
    hours: dict[tuple[int, datetime.datetime], list[Fix]] = collections.defaultdict(list)
    for fix in sorted(fixes, key=lambda one: one[:3]):
        zone = zoneinfo.ZoneInfo(zones.get(fix.student_id, "UTC"))
        local = fix.timestamp.astimezone(zone)
        into = datetime.timedelta(
            minutes=local.minute, seconds=local.second, microseconds=local.microsecond
        )
        hours[fix.student_id, fix.timestamp - into].append(fix)
    return hours


def _facts(hours: Sequence[Sequence[Fix]]) -> Row:
    fixes = list(itertools.chain.from_iterable(hours))
    steps = [
        (metres(one, other), (other.timestamp - one.timestamp).total_seconds())
        for one, other in itertools.pairwise(fixes)
        if metres(one, other) > max(one.accuracy or 0, other.accuracy or 0)
        or (other.speed or 0) >= 0.5
    ]
    return (
        len(fixes),
        sorted({one.device_id for one in fixes}),
        fixes[0].timestamp,
        fixes[-1].timestamp,
        fixes[0].latitude,
        fixes[-1].longitude,
        _mean([one.latitude for one in fixes]),
        _mean([one.longitude for one in fixes]),
        min(one.latitude for one in fixes),
        min(one.longitude for one in fixes),
        max(one.latitude for one in fixes),
        max(one.longitude for one in fixes),
        sum(length for length, _ in steps),
        sum(seconds for length, seconds in steps if seconds <= 300 and length >= seconds / 2),
        max((one.speed for one in fixes if one.speed is not None), default=None),
    )


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _mean_accuracy(fixes: Sequence[Fix]) -> float | None:
    known = [one.accuracy for one in fixes if one.accuracy is not None]
    return _mean(known) if known else None


def _mean_of_means(hours: Sequence[Sequence[Fix]]) -> float | None:
    weighted = [(_mean_accuracy(one), len(one)) for one in hours]
    known = [(mean, count) for mean, count in weighted if mean is not None]
    if not known:
        return None
    return sum(mean * count for mean, count in known) / sum(count for _, count in known)


def _compare(found: Sequence[Row], expected: Sequence[Row]) -> None:
    assert [row[:6] for row in found] == [row[:6] for row in expected]
    for row, wanted in zip(found, expected, strict=True):
        for value, other in zip(row[6:], wanted[6:], strict=True):
            # Columns of type real keep seven digits.
            assert value == (other if other is None else pytest.approx(other, rel=1e-6, abs=1e-6))
