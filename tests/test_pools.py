"""Connections for questions are there before a rush needs them, and stay."""

from __future__ import annotations

import psycopg
import pytest

from geoingest import db, pools
from geoingest.access import provision
from tests import conftest, guardians


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine may take longer than a start waits for them."""
    monkeypatch.setattr(pools, "_PATIENCE_SECONDS", 20.0)


def _sizes(running: conftest.Running) -> list[int]:
    opened = running.service.pools
    return [one.get_size() for one in (opened.primary, opened.reading, *opened.replicas)]


async def _replicated(database: conftest.Database) -> None:
    """Returns once the replica has this database, too."""

    def is_there() -> bool:
        try:
            psycopg.connect(conftest.as_role(database.replica_url, "geoingest_read")).close()
        except psycopg.OperationalError:
            return False
        return True

    await conftest.until(is_there, seconds=20)


async def test_those_for_questions_are_open_from_the_start(
    database: conftest.Database, start: conftest.Start
) -> None:
    """On the replica, where questions go; without one, on the primary."""
    await _replicated(database)
    with_replica = await start(database.settings())
    alone = await start(database.settings(database_replica_url=""))
    few = await start(database.settings(readers=1))

    assert _sizes(with_replica)[2] == 6
    assert _sizes(with_replica)[1] < 6
    assert _sizes(alone)[1] == 6
    assert _sizes(few)[2] == 3


async def test_a_role_without_room_for_them_stops_nothing(
    database: conftest.Database, start: conftest.Start, school: list[provision.Enrolled]
) -> None:
    """As many are opened as there may be, and they answer."""
    guardians.store(database, school[0].student_id, guardians.ago(minutes=1))
    database.administer("ALTER ROLE geoingest_read CONNECTION LIMIT 3")
    try:
        running = await start(database.settings(database_replica_url=""))
        guardian = guardians.Guardian(running, school[0].viewer_token)
        answer = await guardian.ask(f"/v1/students/{school[0].student_id}/location")
    finally:
        database.administer("ALTER ROLE geoingest_read CONNECTION LIMIT 60")

    assert answer.status == 200
    assert _sizes(running)[1] == 3


async def test_a_connection_that_is_idle_stays(
    database: conftest.Database, start: conftest.Start
) -> None:
    """The driver would close it after five minutes: whoever asks first in the morning would wait."""
    running = await start(database.settings(database_replica_url=""))
    pool: db.Pool = running.service.pools.reading

    timers = [holder._inactive_callback for holder in pool._holders]  # type: ignore[attr-defined]  # no other way to ask

    assert set(timers) == {None}
