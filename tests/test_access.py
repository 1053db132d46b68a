"""A token works soon after it was made, stops soon after it was revoked, and is trusted only while fresh."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from geoingest import connections, db, http
from geoingest.access import credentials, provision, tokens
from geoingest.ingest import batcher, endpoints, intake, overload, pings
from tests import conftest


class _Clock:
    """The monotonic clock, moved by hand."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
async def pool(database: conftest.Database) -> AsyncIterator[db.Pool]:
    """The pool that credentials are polled with."""
    made = await connections.primary_pool(database.url, size=2, timeout_seconds=5)
    yield made
    made.terminate()


async def _post(running: conftest.Running, token: str) -> int:
    body = {"timestamp": datetime.datetime.now(datetime.UTC).isoformat()}
    headers = {"Authorization": f"Bearer {token}"}
    async with running.client.post(
        "/v1/pings", json={**body, "latitude": 52.5, "longitude": 13.4}, headers=headers
    ) as answer:
        return answer.status


async def _posted(running: conftest.Running, token: str, status: int, *, seconds: float) -> None:
    """Posts until the answer has this status; TimeoutError when it does not in time."""
    async with asyncio.timeout(seconds):
        while await _post(running, token) != status:
            await asyncio.sleep(0.02)


async def test_tokens_come_and_go_with_the_running_service(
    running: conftest.Running, database: conftest.Database
) -> None:
    """A new token works within 2 seconds, and a revoked one stops within 5, by the poll alone."""
    with db.direct(database.url) as connection:
        device_id, token = provision.add_device(connection, 4711)
        await _posted(running, token, 200, seconds=2)

        provision.revoke_device(connection, device_id)
        await _posted(running, token, 401, seconds=5)

    assert database.query("SELECT DISTINCT student_id FROM geolocation_data") == [(4711,)]


async def test_a_row_committed_late_is_not_missed(
    database: conftest.Database, pool: db.Pool
) -> None:
    """Polls that pass while a long transaction is open lose neither its devices nor its revocations."""
    with db.direct(database.url) as connection:
        revoked_id, revoked = provision.add_device(connection, 1)
        list_of_tokens = credentials.Credentials(pool)
        await list_of_tokens.refresh()
        with psycopg.connect(database.url, cursor_factory=psycopg.RawCursor) as late:
            late.execute("INSERT INTO students (student_id) VALUES (77)")
            added = tokens.create("device")
            late.execute(db.queries()["add_device"].encode(), [77, tokens.digest(added), None])
            late.execute(db.queries()["revoke_device"].encode(), [revoked_id])
            # Others come and go meanwhile, with later numbers and earlier commits.
            for student in (2, 3):
                _, early = provision.add_device(connection, student)
                await list_of_tokens.refresh()
                assert list_of_tokens.sender(tokens.digest(early)) is not None
            assert list_of_tokens.sender(tokens.digest(revoked)) is not None
            assert list_of_tokens.sender(tokens.digest(added)) is None

            late.commit()
        await list_of_tokens.refresh()

    sender = list_of_tokens.sender(tokens.digest(added))
    assert sender is not None
    assert sender.student_id == 77
    assert list_of_tokens.students == {1, 2, 3, 77}
    assert list_of_tokens.sender(tokens.digest(revoked)) is None


async def test_a_changed_token_replaces_the_old_one(
    database: conftest.Database, pool: db.Pool, school: list[provision.Enrolled]
) -> None:
    """Of a device whose digest was changed only the new token works, and others stay as they are."""
    list_of_tokens = credentials.Credentials(pool)
    await list_of_tokens.refresh()
    digest = tokens.digest("gi_dev_new")

    database.query(
        "UPDATE devices SET token_digest = $1 WHERE device_id = $2", digest, school[0].device_id
    )
    await list_of_tokens.refresh()

    assert list_of_tokens.sender(tokens.digest(school[0].device_token)) is None
    found = [list_of_tokens.sender(one) for one in (digest, tokens.digest(school[1].device_token))]
    assert found == [(one.device_id, one.student_id) for one in school[:2]]


async def test_a_list_that_is_not_refreshed_is_not_trusted(
    database: conftest.Database, pool: db.Pool, school: list[provision.Enrolled]
) -> None:
    """Five seconds after the last good poll everyone gets 503 credentials_stale, known or not."""
    clock = _Clock()
    list_of_tokens = credentials.Credentials(pool, now=clock)
    queue = batcher.Batcher(overload.Limits(1, 1, 1.0, 1, 1.0))
    queue.open_lane()
    app = web.Application(middlewares=[http.observe])
    takes = intake.Intake(list_of_tokens, queue, intake.Terms(90, 300.0, 10, 50.0))
    app.add_routes(endpoints.routes([pings.Pings(takes)], body_timeout_seconds=1.0))
    poll = asyncio.create_task(list_of_tokens.run())
    await conftest.until(lambda: list_of_tokens.is_fresh)
    async with TestClient(TestServer(app)) as client:

        async def status(token: str) -> tuple[int, str, bool]:
            headers = {"Authorization": f"Bearer {token}"}
            async with client.post("/v1/pings", data=b"?", headers=headers) as answer:
                reason = (await answer.json(content_type=None))["reason"]
                return answer.status, reason, "Retry-After" in answer.headers

        pool.terminate()
        clock.seconds += credentials.MAX_AGE_SECONDS - 0.1
        last = [await status(one) for one in (school[0].device_token, "unknown")]
        clock.seconds += 0.2
        stale = [await status(one) for one in (school[0].device_token, "unknown")]

    assert last == [(400, "malformed_body", False), (401, "unauthenticated", False)]
    assert stale == [(503, "credentials_stale", True)] * 2
    assert not list_of_tokens.is_fresh
    assert not poll.done()
    poll.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await poll


class _SlowPool:
    """A pool that takes four seconds to hand out a connection."""

    def __init__(self, pool: db.Pool, clock: _Clock) -> None:
        self._pool = pool
        self._clock = clock

    def acquire(self, **options: Any) -> Any:
        self._clock.seconds += 4
        return self._pool.acquire(**options)


async def test_the_age_counts_from_before_the_poll(
    pool: db.Pool, school: list[provision.Enrolled]
) -> None:
    """What a slow poll has read is as old as its question, not as its answer."""
    clock = _Clock()
    slow = _SlowPool(pool, clock)
    list_of_tokens = credentials.Credentials(slow, now=clock)  # type: ignore[arg-type]  # a fake

    await list_of_tokens.refresh()

    clock.seconds += 0.9
    assert list_of_tokens.is_fresh
    clock.seconds += 0.2
    assert not list_of_tokens.is_fresh


async def test_a_restored_database_is_loaded_anew(
    database: conftest.Database, pool: db.Pool, school: list[provision.Enrolled]
) -> None:
    """Transaction numbers that run backwards mean another history: nothing of the old list stays."""
    list_of_tokens = credentials.Credentials(pool)
    await list_of_tokens.refresh()
    # Before the restore the numbers were far ahead of what the restored rows carry.
    list_of_tokens._seen = credentials._Snapshot("00000001", 2**60, 2**60)
    with db.direct(database.url) as connection:
        connection.execute("DROP TRIGGER device_is_revoked_before_delete ON devices")
        connection.execute("DELETE FROM devices WHERE device_id = $1", [school[0].device_id])
        connection.execute("TRUNCATE guardianships")
        connection.execute("DELETE FROM students WHERE student_id = $1", [school[0].student_id])

    await list_of_tokens.refresh()

    assert list_of_tokens.sender(tokens.digest(school[0].device_token)) is None
    assert list_of_tokens.sender(tokens.digest(school[1].device_token)) is not None
    assert list_of_tokens.students == {one.student_id for one in school[1:]}


def test_a_live_device_cannot_be_deleted(
    database: conftest.Database, school: list[provision.Enrolled]
) -> None:
    """Its token would go on working; only a minute after its revocation the row may go."""
    delete = "DELETE FROM devices WHERE device_id = $1 RETURNING device_id"
    revoke = "UPDATE devices SET revoked_at = now() - $1::interval WHERE device_id = $2"
    device = school[0].device_id

    with pytest.raises(psycopg.errors.RestrictViolation):
        database.query(delete, device)
    database.query(revoke, datetime.timedelta(seconds=30), device)
    with pytest.raises(psycopg.errors.RestrictViolation):
        database.query(delete, device)
    database.query(revoke, datetime.timedelta(seconds=90), device)

    assert database.query(delete, device) == [(device,)]
