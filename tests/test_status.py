"""`geoingest jobs status`: what ran, what is due, and how far rollups and retention are."""

from __future__ import annotations

import datetime
from typing import Any

import orjson
import pytest

from geoingest.lifecycle import jobs, partitions, status
from tests import commands, conftest, guardians

DAY = datetime.timedelta(days=1)
OLDEST = datetime.datetime(2026, 8, 1, tzinfo=datetime.UTC)


def _json(database: conftest.Database) -> dict[str, Any]:
    result = commands.run("jobs", "status", "--json", database=database)
    assert (result.exit_code, result.stderr) == (0, "")
    found: dict[str, Any] = orjson.loads(result.stdout)
    return found


def test_before_the_first_run_there_is_nothing_to_tell(database: conftest.Database) -> None:
    """Every job has its line, with null where nothing was done yet."""
    found = _json(database)

    assert [run["job"] for run in found.pop("jobs")] == list(jobs.JOBS)
    assert found == {
        "rolled_to": None,
        "late_hours": 0,
        "months_ahead": 3,
        "oldest_detail": None,
        "sealed_to": None,
        "days_not_sealed": 0,
    }


def test_the_table_says_what_ran_and_what_is_due(database: conftest.Database) -> None:
    """A line for each job; a failed one is due within the minute, one that succeeded within the hour."""
    database.query("ALTER TABLE rejected_pings RENAME TO away")
    commands.run("jobs", "--once", database=database)

    lines = commands.run("jobs", "status", database=database).stdout.splitlines()
    found = _json(database)["jobs"]

    assert lines[0].split() == ["job", "last", "run", "outcome", "result", "next", "due"]
    assert "  ok       0 made, 0 dropped, 3 ahead" in lines[1]
    assert "  failed   42P01" in lines[1 + list(jobs.JOBS).index("quarantine")]
    assert "months ahead                      3" in lines
    due = {run["job"]: _after(run["started_at"], run["due_at"]) for run in found}
    assert due["partitions"] == pytest.approx(3600, abs=30)
    assert due["quarantine"] == pytest.approx(jobs.RETRY_SECONDS, abs=30)


def _after(start: str, end: str) -> float:
    instants = [datetime.datetime.fromisoformat(one) for one in (start, end)]
    return (instants[1] - instants[0]).total_seconds()


def test_it_tells_how_far_all_are(database: conftest.Database) -> None:
    """Rolled up to, late hours waiting, the oldest month with a ping in it, and what is sealed."""
    rolled_to = guardians.ago(hours=2)
    database.query("UPDATE rollup_state SET watermark = $1, rolled_to = $1", rolled_to)
    guardians.store(database, 1, guardians.ago(days=80), guardians.ago(days=1))

    found = _json(database)

    month = guardians.ago(days=80).date().replace(day=1)
    assert guardians.instant(found, "rolled_to") == rolled_to
    assert found["late_hours"] == 2
    assert guardians.instant(found, "oldest_detail") == partitions.bounds(month)[0]
    assert found["days_not_sealed"] == 0


@pytest.mark.parametrize(
    ("oldest", "sealed_to", "due", "days"),
    [
        (None, None, OLDEST, 0),
        (OLDEST, None, OLDEST - DAY, 0),
        (OLDEST, None, OLDEST + 10.5 * DAY, 10),
        (OLDEST, OLDEST + 9 * DAY, OLDEST + 10.1 * DAY, 0),
        (OLDEST, OLDEST + 9 * DAY, OLDEST + 10.5 * DAY, 1),
        (OLDEST + 40 * DAY, OLDEST + 9 * DAY, OLDEST + 30 * DAY, 0),
    ],
)
def test_days_that_should_be_sealed_are_counted(
    oldest: datetime.datetime | None,
    sealed_to: datetime.datetime | None,
    due: datetime.datetime,
    days: int,
) -> None:
    """Whole days of what is there, from the last seal on; the night's own work is no delay."""
    assert status.days_not_sealed(oldest, sealed_to, due=due) == days
