"""A day's track and the newest ping touch two months at most, a year none, by their keys: says the planner."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import psycopg
import pytest

from geoingest import db
from geoingest.lifecycle import partitions
from geoingest.tracking import acting, cursor, days, latest, lookups, track
from tests import conftest

# The turn of a month in which all months around it exist, whenever the tests run.
TURN = datetime.datetime.now(datetime.UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
DAY, DETAIL = datetime.timedelta(days=1), datetime.timedelta(days=90)
MIDDLE = TURN - datetime.timedelta(days=15)
STUDENTS = 20
_TYPES = {
    "newest_ping": "bigint, timestamptz, timestamptz",
    "newest_pings": "bigint[], timestamptz, timestamptz",
    "track_points": "bigint, timestamptz, timestamptz, integer, integer",
    "track_hours": "bigint, timestamptz, timestamptz, timestamptz, timestamptz, integer",
    "track_days": "bigint, timestamptz, timestamptz, timestamptz, timestamptz, integer",
    "pings_in_hours": "bigint, timestamptz, timestamptz, integer",
    "count_hours": "bigint, timestamptz, timestamptz, timestamptz, integer",
    "has_days": "bigint, timestamptz, timestamptz",
    "days_between": "bigint, date, date, timestamptz",
    "lookups_of": "bigint, timestamptz, timestamptz, bigint, integer",
}
# Where a question about a year should look, and nowhere else.
_ROLLUP_KEYS = {
    ("geolocation_hourly", "geolocation_hourly_pkey"),
    ("geolocation_daily", "geolocation_daily_pkey"),
}

Question = Callable[[Any, datetime.datetime], Awaitable[object]]


class _Recorder:
    """A connection that answers nothing and keeps what the service asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, list[object]]] = []

    async def fetch(self, query: str, *values: object) -> list[object]:
        self.asked.append((query, list(values)))
        return []

    async def fetchrow(self, query: str, *values: object) -> None:
        await self.fetch(query, *values)

    async def fetchval(self, query: str, *values: object) -> int:
        """More than any limit."""
        await self.fetch(query, *values)
        return 10**9


@contextlib.contextmanager
def _superuser(database: conftest.Database) -> Iterator[psycopg.Connection]:
    """Who may become the role that reads; and somebody on whose behalf all students are seen."""
    with psycopg.connect(database.admin_url, autocommit=True) as connection:
        connection.execute("INSERT INTO viewers (viewer_id, sees_all) VALUES (1, TRUE)")
        connection.execute("INSERT INTO students SELECT generate_series(1, %s)", [STUDENTS])
        yield connection


@pytest.fixture
def seeded(database: conftest.Database) -> Iterator[psycopg.Connection]:
    """Twenty students for 110 days around the turn of a month, a ping each half hour."""
    with db.direct(database.url) as connection:
        partitions.ensure(connection, detail_days=150, now=datetime.datetime.now(datetime.UTC))
    with _superuser(database) as connection:
        connection.execute(
            'INSERT INTO geolocation_data (student_id, "timestamp", device_id, latitude, longitude,'
            " received_at) SELECT student, at, student, 52.5, 13.4, at FROM generate_series(1, %s) student,"
            " generate_series(%s::timestamptz, %s, '30 minutes') at",
            [STUDENTS, TURN - 90 * DAY, TURN + 20 * DAY],
        )
        connection.execute("ANALYZE geolocation_data")
        yield connection


async def _newest(connection: Any, now: datetime.datetime) -> object:
    return await latest.fetch(connection, 7, horizon=now - DETAIL, now=now)


async def _newest_of_all(connection: Any, now: datetime.datetime) -> object:
    students = list(range(1, STUDENTS + 1))
    return await latest.fetch_many(connection, students, horizon=now - DETAIL, now=now)


def _window(now: datetime.datetime, resolution: track.Resolution, *, days: int) -> track.Window:
    return track.Window(now - days * DAY, now, now - DETAIL, now - 365 * DAY, resolution)


async def _day(connection: Any, now: datetime.datetime) -> object:
    window = _window(now, "raw", days=1)
    return await track.fetch(connection, 7, window, cursor.Cursor("raw"), limit=1000)


async def _day_page(connection: Any, now: datetime.datetime) -> object:
    after = cursor.Cursor("raw", timestamp=now - DAY / 2, device_id=7)
    return await track.fetch(connection, 7, _window(now, "raw", days=1), after, limit=10)


async def _what_fits(connection: Any, now: datetime.datetime) -> object:
    return await track.fitting(connection, 7, _window(now, "auto", days=60), limit=1000)


async def _hours(connection: Any, now: datetime.datetime) -> object:
    window = _window(now, "hour", days=60)
    return await track.fetch(connection, 7, window, cursor.Cursor("hour"), limit=1000)


async def _hours_page(connection: Any, now: datetime.datetime) -> object:
    after = cursor.Cursor("hour", timestamp=now - 3 * DAY)
    return await track.fetch(connection, 7, _window(now, "hour", days=60), after, limit=10)


async def _days(connection: Any, now: datetime.datetime) -> object:
    window = _window(now, "day", days=60)
    return await track.fetch(connection, 7, window, cursor.Cursor("day"), limit=1000)


async def _last_days(connection: Any, now: datetime.datetime) -> object:
    span = days.Span((now - 30 * DAY).date(), now.date(), now - 365 * DAY)
    return await days.fetch(connection, 7, span)


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
async def test_the_questions_touch_two_months_at_most_by_their_index(
    seeded: psycopg.Connection, mode: str, subtests: pytest.Subtests
) -> None:
    """In the middle of a month one partition is read, at its turn two, planned for these values or any."""
    seeded.execute(f"SET plan_cache_mode = {mode}".encode())
    for question in (_newest, _newest_of_all, _day, _day_page):
        for now, most in ((MIDDLE, 1), (TURN + DAY / 48, 2), (TURN - DAY / 48, 2)):
            with subtests.test(f"{question.__name__} {now}"):
                query, values = await _asked(question, now)

                scans = list(_executed(_explain(seeded, query, values)))

                months = {scan["Relation Name"] for scan in scans}
                assert 1 <= len(months) <= most
                assert {scan["Node Type"] for scan in scans} <= {"Index Scan", "Index Only Scan"}
                assert all("student_id = " in scan["Index Cond"] for scan in scans)
                assert any(scan["Actual Rows"] for scan in scans)


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
async def test_months_ago_is_answered_from_the_rollups_by_their_keys(
    seeded: psycopg.Connection, mode: str, subtests: pytest.Subtests
) -> None:
    """Hours, days and what auto asks first touch no detail, and of the rollups one student's."""
    begin, end = TURN - 90 * DAY, TURN + 20 * DAY
    seeded.execute("SELECT roll_hours(0, 100, %s, %s)", [begin, end])
    seeded.execute("SELECT roll_days(0, 100, %s, %s)", [begin, end])
    seeded.execute("ANALYZE geolocation_hourly")
    seeded.execute("ANALYZE geolocation_daily")
    seeded.execute(f"SET plan_cache_mode = {mode}".encode())
    seen = set[tuple[str, str]]()

    for question in (_what_fits, _hours, _hours_page, _days, _last_days):
        recorder = _Recorder()
        await question(recorder, MIDDLE)
        asked = [one for one in recorder.asked if one[0] != db.queries()["rolled_to"]]
        for query, values in asked:
            with subtests.test(f"{question.__name__} {query}"):
                (scan,) = _executed(_explain(seeded, query, values))

                assert scan["Actual Rows"] > 0
                assert scan["Actual Rows"] + scan.get("Rows Removed by Filter", 0) <= 60 * 24 + 2
                index = scan["Plans"][0] if scan["Node Type"] == "Bitmap Heap Scan" else scan
                assert all(one in index["Index Cond"] for one in ("student_id = ", " >", " <"))
                seen.add((scan["Relation Name"], index["Index Name"]))

    assert seen == _ROLLUP_KEYS


async def _who_looked(connection: Any, now: datetime.datetime) -> object:
    window = lookups.Window(now - 300 * DAY, now, now - 365 * DAY)
    return await lookups.fetch(connection, 7, window, lookups.Place(now - DAY, 9), limit=100)


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
async def test_who_looked_is_read_by_its_key(database: conftest.Database, mode: str) -> None:
    """A page of one student's look-ups touches no more rows than it has, of its own and of each of its groups."""
    with _superuser(database) as connection:
        connection.execute(
            "INSERT INTO lookups (viewer_id, student_id, kind, rows, looked_at)"
            " SELECT 1, student, 'location', 1, at FROM generate_series(1, %s) student,"
            " generate_series(%s::timestamptz, %s, '30 minutes') at",
            [STUDENTS, TURN - 30 * DAY, TURN],
        )
        connection.execute(
            "INSERT INTO lookup_groups (digest)"
            " SELECT sha256(one::text::bytea) FROM generate_series(1, 100) one"
        )
        connection.execute(
            "INSERT INTO lookup_group_students (group_id, student_id)"
            " SELECT group_id, group_id / 10 * 100 + student"
            " FROM lookup_groups, generate_series(1, 100) student"
        )
        connection.execute(
            "INSERT INTO group_lookups (lookup_id, viewer_id, group_id, rows, looked_at)"
            " SELECT row_number() OVER (), 1, group_id, 1, at FROM lookup_groups,"
            " generate_series(%s::timestamptz, %s, '3 hours') at",
            [TURN - 30 * DAY, TURN],
        )
        connection.execute("ANALYZE lookups, lookup_group_students, group_lookups")
        connection.execute(f"SET plan_cache_mode = {mode}".encode())

        scans = _executed(_explain(connection, *await _asked(_who_looked, TURN)))

    found = {scan["Relation Name"]: scan for scan in scans}
    own, members, of_group = (
        found[name] for name in ("lookups", "lookup_group_students", "group_lookups")
    )
    assert (own["Index Name"], of_group["Index Name"]) == ("lookups_pkey", "group_lookups_pkey")
    assert own["Scan Direction"] == of_group["Scan Direction"] == "Backward"
    assert all(one in own["Index Cond"] for one in ("student_id = ", " >= ", "ROW(looked_at"))
    assert all(one in of_group["Index Cond"] for one in ("group_id = ", " >= ", "ROW("))
    assert own["Actual Rows"] <= 101
    assert members["Actual Rows"] == 9
    assert of_group["Actual Rows"] <= 101
    assert not any(scan.get("Rows Removed by Filter") for scan in found.values())


async def test_more_months_would_be_noticed(seeded: psycopg.Connection) -> None:
    """The proof can fail: without the window, or without the index, the same look says so."""
    query, values = await _asked(_newest, MIDDLE)
    since_ever = [values[0], MIDDLE - DETAIL, MIDDLE]

    wide = _executed(_explain(seeded, query.replace("LIMIT 1", ""), since_ever))
    seeded.execute("DROP INDEX idx_geolocation_student_timestamp")
    plain = _executed(_explain(seeded, query, values))

    assert len({scan["Relation Name"] for scan in wide}) > 2
    assert {scan["Node Type"] for scan in plain} == {"Seq Scan"}


async def _asked(question: Question, now: datetime.datetime) -> tuple[str, list[object]]:
    """The first query that the service itself sends for this question."""
    recorder = _Recorder()
    await question(recorder, now)
    return recorder.asked[0]


def _explain(connection: psycopg.Connection, query: str, values: list[object]) -> dict[str, Any]:
    """The plan of one execution, by the role that reads, under row-level security, prepared as the driver does it."""
    known = db.queries()
    name = next((one for one in _TYPES if known[one] == query), "newest_ping")
    said = acting.said(query, len(values))
    # As the desk has it: of one student, or of all.
    who = [1, 0, [values[0]] if isinstance(values[0], int) else None]
    connection.execute("SET ROLE geoingest_read")
    # As roles.sql has it for whoever logs in as this role.
    connection.execute("SET enable_sort = off")
    connection.execute(
        f"PREPARE asked ({_TYPES[name]}, integer, integer, bigint[]) AS {said}".encode()
    )
    places = ", ".join(["%s"] * len(values + who))
    with psycopg.ClientCursor(connection) as cursor:
        cursor.execute(
            f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE asked ({places})".encode(), values + who
        )
        row = cursor.fetchone()
    connection.execute("DEALLOCATE asked")
    connection.execute("RESET ROLE")
    assert row is not None
    plan: dict[str, Any] = row[0][0]["Plan"]
    return plan


def _executed(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The scans that ran; those planned and never executed, or removed, do not count."""
    if node["Actual Loops"] and "Relation Name" in node:
        yield node
    for child in node.get("Plans", []):
        yield from _executed(child)
