"""What has ended leaves the tables, and what has not stays."""

from __future__ import annotations

import datetime

import pytest

from geoingest import db
from geoingest.access import provision
from geoingest.lifecycle import endings
from tests import accounts, commands, conftest

NOW = datetime.datetime.now(datetime.UTC)


@pytest.fixture
def account(database: conftest.Database, school: list[provision.Enrolled]) -> accounts.Account:
    """Whose sessions and shares they are."""
    return accounts.add(database, school[0])


def _run(database: conftest.Database) -> endings.Ended:
    with db.direct(database.url) as connection:
        return endings.run_once(connection, database.settings(), NOW)


def _sessions(database: conftest.Database, viewer_id: int, terms: dict[str, str]) -> None:
    """One for each of these: when it ends, and when it was used last, in SQL's words."""
    for ends_at, used_at in terms.items():
        database.query(
            "INSERT INTO sessions (viewer_id, token_digest, created_at, used_at, idle_seconds, ends_at)"
            " VALUES ($1, sha256(random()::text::bytea), now() - interval '29 days',"
            " now() + $2::interval, 86400, now() + $3::interval)",
            viewer_id,
            used_at,
            ends_at,
        )


def test_sessions_leave_when_they_have_ended(
    database: conftest.Database, account: accounts.Account
) -> None:
    """By their time or for want of use; one second before, they stay."""
    terms = {"-1 second": "-1 minute", "1 hour": "-25 hours", "2 hours": "-23 hours"}
    _sessions(database, account.viewer_id, terms)

    ended = _run(database)

    assert ended == (2, 0)
    assert str(ended) == "2 sessions, 0 failures to log in gone"
    assert database.query("SELECT count(*) FROM sessions") == [(1,)]
    assert _run(database) == (0, 0)


def test_failures_leave_after_a_day(database: conftest.Database) -> None:
    """Nobody has to wait for them any more."""
    for hours in (1, 23, 25, 100):
        database.query(
            "INSERT INTO login_failures VALUES (sha256(random()::text::bytea), 3, now() - $1::interval)",
            datetime.timedelta(hours=hours),
        )

    assert _run(database) == (0, 2)
    assert database.query("SELECT count(*) FROM login_failures") == [(2,)]


def test_many_leave_in_pieces(database: conftest.Database) -> None:
    """However many there are, no statement takes more than so many."""
    database.query(
        "INSERT INTO login_failures SELECT sha256(one::text::bytea), 1, now() - interval '2 days'"
        " FROM generate_series(1, 25000) AS one"
    )

    assert _run(database).login_failures == 25_000


def test_it_is_a_job(database: conftest.Database) -> None:
    """Run by hand like the others."""
    result = commands.run("jobs", "run", "endings", database=database)

    assert (result.exit_code, result.stdout) == (
        0,
        "0 sessions, 0 failures to log in gone\n",
    )
