"""A day's track and the newest ping touch two months at most, by their index: what the planner says."""

from __future__ import annotations

import datetime
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import psycopg
import pytest

from geoingest import db
from geoingest.lifecycle import partitions
from geoingest.tracking import latest, track
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


@pytest.fixture
def seeded(database: conftest.Database) -> Iterator[psycopg.Connection]:
    """Twenty students for 110 days around the turn of a month, a ping each half hour."""
    with db.direct(database.url) as connection:
        partitions.ensure(connection, detail_days=150, now=datetime.datetime.now(datetime.UTC))
    with psycopg.connect(database.url, autocommit=True) as connection:
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


async def _day(connection: Any, now: datetime.datetime) -> object:
    return await track.fetch(connection, 7, track.Window(now - DAY, now, 1000, None))


async def _day_page(connection: Any, now: datetime.datetime) -> object:
    after = track.Cursor(now - DAY / 2, 7)
    return await track.fetch(connection, 7, track.Window(now - DAY, now, 10, after))


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
    """The plan of one execution, prepared as the driver prepares it."""
    known = db.queries()
    name = next((one for one in _TYPES if known[one] == query), "newest_ping")
    connection.execute(f"PREPARE asked ({_TYPES[name]}) AS {query}".encode())
    places = ", ".join(["%s"] * len(values))
    with psycopg.ClientCursor(connection) as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE asked ({places})".encode(), values)
        row = cursor.fetchone()
    connection.execute("DEALLOCATE asked")
    assert row is not None
    plan: dict[str, Any] = row[0][0]["Plan"]
    return plan


def _executed(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The scans that ran; those planned and never executed, or removed, do not count."""
    if node["Actual Loops"] and "Relation Name" in node:
        yield node
    for child in node.get("Plans", []):
        yield from _executed(child)
