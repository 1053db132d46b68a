"""A town as the rows of an empty database."""

from __future__ import annotations

import datetime
from collections.abc import Collection, Sequence
from typing import Any

import psycopg

from tests import towns

_HOUR = datetime.timedelta(hours=1)


def write(connection: psycopg.Connection[Any], town: towns.Town, now: towns.Clock) -> None:
    """Puts it into an empty database."""
    for school_id, hours in enumerate(town.hours, start=1):
        connection.execute(
            "INSERT INTO schools (school_id, time_zone, opens_at, closes_at, weekdays)"
            " VALUES (%s, %s, %s, %s, %s)",
            [school_id, now.zone, *_times(hours, now)],
        )
        if hours == "holiday":
            connection.execute(
                "INSERT INTO school_holidays VALUES (%s, %s)", [school_id, now.local.date()]
            )
    _insert(
        connection,
        "classes",
        [(one, (one + 1) // 2, f"class {one}") for one in towns.CLASSES],
    )
    _insert(
        connection,
        "students (student_id, school_id, class_id, erased_at)",
        [
            (number, *one[:2], now.now if one.is_erased else None)
            for number, one in enumerate(town.students, start=1)
        ],
    )
    _insert(
        connection,
        "viewers (viewer_id, sees_all, revoked_at)",
        [
            (number, one.sees_all, now.now if one.is_revoked else None)
            for number, one in enumerate(town.viewers, start=1)
        ],
    )
    _insert(
        connection,
        "sessions (session_id, viewer_id, token_digest, created_at, used_at, idle_seconds, ends_at)",
        [
            (
                *(number, one.viewer_id, bytes([number]) * 32, _at(now, "-2 hours")),
                *(_at(now, "-2 minutes"), 60 if one.is_idle else 3600, _at(now, one.ends)),
            )
            for number, one in enumerate(town.sessions, start=1)
        ],
    )
    _insert(
        connection,
        "shares (share_id, viewer_id, student_id, token_digest, created_at, ends_at, revoked_at)",
        [
            (
                *(number, one.viewer_id, one.student_id, bytes([number]) * 32),
                *(_at(now, "-2 hours"), _at(now, one.ends), now.now if one.is_revoked else None),
            )
            for number, one in enumerate(town.shares, start=1)
        ],
    )
    _insert(connection, "staff_scopes", town.scopes)
    _insert(
        connection,
        "guardianships (viewer_id, student_id, valid_from, valid_until, consent_until,"
        " school_hours_only)",
        [(*one[:2], *(_at(now, end) for end in one[2:5]), one[5]) for one in town.guardianships],
    )


def _times(
    hours: towns.Hours, now: towns.Clock
) -> tuple[datetime.time | None, datetime.time | None, Sequence[int]]:
    if hours == "none":
        return None, None, [1, 2, 3, 4, 5, 6, 7]
    today = now.local.isoweekday()
    hour = datetime.timedelta(hours=1)
    opens, closes = now.local - 2 * hour, now.local + (-1 if hours == "over" else 2) * hour
    days = [day for day in range(1, 8) if hours != "day off" or day != today]
    return opens.time(), closes.time(), days


def _at(now: towns.Clock, offset: str) -> datetime.datetime:
    count, unit = offset.removesuffix("s").split()
    return now.now + int(count) * {"hour": _HOUR, "minute": _HOUR / 60}[unit]


def _insert(
    connection: psycopg.Connection[Any], into: str, rows: Collection[Sequence[object]]
) -> None:
    for row in rows:
        marks = ", ".join(["%s"] * len(row))
        statement = f"INSERT INTO {into} OVERRIDING SYSTEM VALUE VALUES ({marks})"  # noqa: S608  # the tests' own words
        connection.execute(statement.encode(), row)
