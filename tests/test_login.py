"""Whoever knows the password gets a session; whoever does not learns nothing, and nobody else waits for it."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import os
import threading
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import aiohttp
import argon2
import psycopg
import pytest

from geoingest import db, errors, metrics
from geoingest.access import logins, passwords, provision, sessions, throttle
from tests import accounts, conftest, guardians, processes

WRONG = "seven small boats in port"
_COUNT = "geoingest_password_duration_seconds_count"


@pytest.fixture
def account(database: conftest.Database, school: list[provision.Enrolled]) -> accounts.Account:
    """A guardian who can log in."""
    return accounts.add(database, school[0])


@contextlib.asynccontextmanager
async def _busy(running: conftest.Running, hashes: int) -> AsyncIterator[None]:
    """So many hashes are under way, or wait for a thread, until the end of the block."""
    go_on = threading.Event()
    queue = running.service.passwords

    queue._mean_seconds = 0.02
    async with asyncio.TaskGroup() as group:
        for _ in range(hashes):
            group.create_task(queue._run(lambda: go_on.wait(30)))
        await asyncio.sleep(0)
        try:
            yield
        finally:
            go_on.set()


def _is_waiting(running: conftest.Running) -> bool:
    """A hash waits for a thread: what is asked before it was asked."""
    return running.service.passwords._threads._work_queue.qsize() > 0


def _keep(database: conftest.Database, password_hash: str) -> None:
    database.query("UPDATE viewers SET password_hash = $1 WHERE email IS NOT NULL", password_hash)


def _outcome(name: str) -> float:
    return float(metrics.logins.labels(name)._value.get())


async def test_the_right_password_gives_a_session(
    running: conftest.Running, database: conftest.Database, account: accounts.Account
) -> None:
    """Its token sees what the viewer sees, no cache keeps it, and e-mails know neither capitals nor spaces."""
    answer = await accounts.log_in(running.client, " Kim@Example.ORG ")

    assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-store")
    assert set(answer.body) == {"token", "expires_at", "viewer_id", "role"}
    assert answer.body["token"].startswith("gi_ses_")
    assert (answer.body["viewer_id"], answer.body["role"]) == (account.viewer_id, "guardian")
    lasts = guardians.instant(answer.body, "expires_at") - guardians.NOW
    assert 29 <= lasts.days <= 30
    assert await accounts.sees(running.client, answer.body["token"], account) == 200
    assert database.query("SELECT viewer_id FROM sessions") == [(account.viewer_id,)]


async def test_a_password_is_the_same_however_its_accents_are_typed(
    running: conftest.Running, database: conftest.Database, account: accounts.Account
) -> None:
    """One sign or two, as keyboards differ; but no letter is taken for another that looks different."""
    composed, decomposed, other = (
        f"{accent}t{accent} \u00b2 fois la mer" for accent in ("\u00e9", "e\u0301", "e")
    )
    _keep(database, passwords.hash_now(composed))

    statuses = [
        (await accounts.log_in(running.client, password=one)).status
        for one in (composed, decomposed, other, composed.replace("\u00b2", "2"))
    ]

    assert statuses == [200, 200, 401, 401]


class _Wrong(NamedTuple):
    """How a try can be wrong, and what each was answered and cost."""

    bodies: set[bytes]
    headers: set[tuple[str, ...]]
    statuses: set[int]
    hashes: list[float]


async def _wrong(service: processes.Service, emails: list[str]) -> _Wrong:
    found = _Wrong(set(), set(), set(), [])
    async with aiohttp.ClientSession(service.url) as session:
        for email in emails:
            before = (await service.metrics())[_COUNT]
            answer = await accounts.log_in(session, email, WRONG)
            found.bodies.add(answer.raw)
            found.headers.add(tuple(sorted(answer.headers)))
            found.statuses.add(answer.status)
            found.hashes.append((await service.metrics())[_COUNT] - before)
    return found


@pytest.fixture
def wrong(database: conftest.Database, school: list[provision.Enrolled]) -> list[str]:
    """E-mails with which this password is wrong, each for another reason."""
    emails = [f"{name}@example.org" for name in ("known", "revoked", "bare")]
    for student, email in zip(school, emails, strict=False):
        accounts.add(database, student, email=email)
    database.query("UPDATE viewers SET revoked_at = now() WHERE email = $1", emails[1])
    database.query("UPDATE viewers SET password_hash = NULL WHERE email = $1", emails[2])
    return [*emails, accounts.STRANGER]


async def test_nobody_learns_who_has_an_account(
    database: conftest.Database, wrong: list[str]
) -> None:
    """A wrong password, a revoked viewer, one without a password and nobody: the same answer, and one hash each."""
    async with processes.serving(database) as service:
        found = await _wrong(service, wrong)

    assert found.statuses == {401}
    assert found.bodies == {
        b'{"type":"about:blank","title":"Wrong e-mail or password","status":401,'
        b'"reason":"wrong_credentials"}'
    }
    assert len(found.headers) == 1
    assert found.hashes == [1.0] * 4


async def test_the_check_finds_a_service_that_is_quicker_for_nobody(
    database: conftest.Database, wrong: list[str]
) -> None:
    """A build that hashes nothing where there is no account does not pass the same check."""
    async with processes.serving(database, module="tests.broken.quick_refusals") as service:
        found = await _wrong(service, wrong)

    assert len(found.bodies) == 1
    assert found.hashes == [1.0, 0.0, 0.0, 0.0]


async def test_hashes_are_made_beside_the_event_loop(
    running: conftest.Running, school: list[provision.Enrolled], account: accounts.Account
) -> None:
    """While both threads are held pings are stored and questions answered, and a login waits its turn."""
    await running.service.credentials.refresh()
    ping = {"timestamp": guardians.NOW.isoformat(), "latitude": 52.5, "longitude": 13.4}
    token = await accounts.token(running.client)
    async with _busy(running, 2):
        waiting = asyncio.create_task(accounts.log_in(running.client))
        await conftest.until(lambda: running.service.passwords._under_way == 3)
        posted = await accounts.ask(
            running.client, school[0].device_token, "/v1/pings", method="POST", json=ping
        )
        looked = await accounts.sees(running.client, token, account)
        assert not waiting.done()

    assert (posted.status, looked, (await waiting).status) == (200, 200, 200)


async def test_the_threads_come_behind_all_else(running: conftest.Running) -> None:
    """They are two, whatever the rush, and of a lower priority than the one that answers."""
    queue = running.service.passwords

    queue._mean_seconds = 0.001
    names = await asyncio.gather(
        *(queue._run(lambda: threading.current_thread().name) for _ in range(50))
    )
    niceness = await queue._run(_niceness)

    assert set(names) <= {"passwords_0", "passwords_1"}
    assert niceness > _niceness()


def _niceness() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


async def test_a_rush_is_refused_and_not_queued(
    running: conftest.Running, database: conftest.Database, account: accounts.Account
) -> None:
    """More than 100 ms of hashes before one's own: 503 and when to come again, before anything is asked."""
    before = _outcome("overloaded")
    # Eleven of 20 ms for two threads are 110 ms.
    async with _busy(running, 11):
        answer = await accounts.log_in(running.client, password=WRONG)
    after = await accounts.log_in(running.client)

    assert (answer.status, answer.body["reason"]) == (503, "overloaded")
    assert int(answer.headers["Retry-After"]) >= 1
    assert _outcome("overloaded") - before == 1
    assert after.status == 200
    assert database.query("SELECT count(*) FROM login_failures") == [(0,)]


async def test_costlier_hashes_make_the_queue_shorter(running: conftest.Running) -> None:
    """The limit is time: what one costs is measured, and nobody is refused while a thread is free."""
    queue = running.service.passwords

    def taken() -> int:
        queue._under_way = 0
        with contextlib.suppress(errors.OverloadedError):
            while True:
                queue.require_room()
                queue._under_way += 1
        return queue._under_way

    queue._mean_seconds = 0.02
    cheap = taken()
    queue._mean_seconds = 0.04
    costly = taken()
    queue._mean_seconds = 9.0
    hopeless = taken()

    assert (cheap, costly, hopeless) == (11, 6, 2)


class _Counting:
    """A pool whose statements are counted."""

    def __init__(self, pool: db.Pool) -> None:
        self._pool = pool
        self.statements = 0

    @contextlib.asynccontextmanager
    async def acquire(self, **options: Any) -> AsyncIterator[Any]:
        async with self._pool.acquire(**options) as connection:
            with connection.query_logger(self._note):
                yield connection

    def _note(self, _record: object) -> None:
        self.statements += 1


async def test_a_login_takes_two_statements_at_most(
    running: conftest.Running, account: accounts.Account
) -> None:
    """One to ask, one to begin a session or to count a failure; who has to wait is told by the first."""
    pool = _Counting(running.service.primary)
    terms = sessions.Terms(datetime.timedelta(days=30), datetime.timedelta(days=7))
    entering = logins.Logins(pool, running.service.passwords, terms, tries_per_second=100.0)  # type: ignore[arg-type]  # a fake

    async def count(password: str) -> int:
        pool.statements = 0
        with contextlib.suppress(errors.CallerError):
            await entering.log_in(logins.Try(accounts.EMAIL, password, "192.0.2.1"))
        return pool.statements

    right = await count(accounts.PASSWORD)
    wrong = [await count(WRONG) for _ in range(throttle.ACCOUNT.free)]
    waits = await count(accounts.PASSWORD)

    assert (right, set(wrong), waits) == (2, {2}, 1)


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        (b"", 400, "bad_body"),
        (b'{"email":', 400, "malformed_body"),
        (b'{"email":"\xff","password":"x"}', 400, "malformed_body"),
        (b'{"x":' + b"[" * 5000, 400, "malformed_body"),
        (b"[]", 400, "bad_body"),
        (b'{"email":"kim@example.org"}', 400, "bad_body"),
        (b'{"email":7,"password":"x"}', 400, "bad_body"),
        (b'{"email":"","password":"x"}', 400, "bad_body"),
        (b'{"email":"kim\\u0000@example.org","password":"x"}', 400, "bad_body"),
        (b'{"email":"kim@example.org","password":"%s"}' % (b"x" * 1025), 400, "bad_body"),
        (b'{"email":"%s@example.org","password":"x"}' % (b"x" * 255), 400, "bad_body"),
        (b'{"email":"kim@example.org","password":"%s"}' % (b"x" * 9000), 413, "body_too_large"),
    ],
)
async def test_a_body_that_is_none_costs_no_hash(
    running: conftest.Running, body: bytes, status: int, reason: str
) -> None:
    """It is refused for what it is, and nothing of it is repeated."""
    before = metrics.password_duration._sum.get()
    async with running.client.post("/v1/login", data=body) as answer:
        found = await answer.json(content_type=None)

    assert (answer.status, found["reason"]) == (status, reason)
    told = {"detail": "an object of: email, password"} if reason == "bad_body" else {}
    assert found.keys() - told.keys() == {"type", "title", "status", "reason"}
    assert found.items() >= told.items()
    assert metrics.password_duration._sum.get() == before


async def test_a_hash_of_weaker_parameters_is_renewed(
    running: conftest.Running, database: conftest.Database, account: accounts.Account
) -> None:
    """With the next login, by who knows the password; meanwhile it is as good as any."""
    weak = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    kept = "SELECT password_hash FROM viewers WHERE email IS NOT NULL"
    _keep(database, weak.hash(accounts.PASSWORD))

    wrong = (await accounts.log_in(running.client, password=WRONG)).status
    ((before,),) = database.query(kept)
    statuses = [(await accounts.log_in(running.client)).status for _ in range(2)]
    ((after,),) = database.query(kept)

    assert (wrong, statuses) == (401, [200, 200])
    assert "m=8,t=1,p=1" in str(before)
    assert "m=7168,t=5,p=1" in str(after)


async def test_a_password_that_is_changed_meanwhile_lets_nobody_in(
    running: conftest.Running, database: conftest.Database, account: accounts.Account
) -> None:
    """Nor does a viewer who is revoked between the check and the session."""
    statuses = []
    for change in (
        "UPDATE viewers SET password_hash = password_hash || 'x' WHERE viewer_id = $1",
        "UPDATE viewers SET revoked_at = now() WHERE viewer_id = $1",
    ):
        async with _busy(running, 2):
            waiting = asyncio.create_task(accounts.log_in(running.client))
            await conftest.until(lambda: _is_waiting(running))
            database.query(change, account.viewer_id)
        statuses.append((await waiting).status)
        _keep(database, passwords.hash_now(accounts.PASSWORD))

    assert statuses == [401, 401]
    assert database.query("SELECT count(*) FROM sessions") == [(0,)]


async def test_a_failure_that_cannot_be_counted_is_not_told(
    database: conftest.Database, start: conftest.Start, account: accounts.Account
) -> None:
    """503 and when to come again, whatever the password; else nobody would have to wait for a next guess."""
    running = await start(database.settings(read_timeout_seconds=0.5))
    before = _outcome("database_unavailable")
    answers = []
    for password in (WRONG, accounts.PASSWORD):
        with psycopg.connect(database.url) as other:
            async with _busy(running, 2):
                waiting = asyncio.create_task(accounts.log_in(running.client, password=password))
                await conftest.until(lambda: _is_waiting(running))
                other.execute("LOCK TABLE login_failures IN ACCESS EXCLUSIVE MODE")
            answers.append(await waiting)

    assert [(one.status, one.body["reason"]) for one in answers] == [
        (503, "database_unavailable")
    ] * 2
    assert all("Retry-After" in one.headers for one in answers)
    assert _outcome("database_unavailable") - before == 2
    assert database.query("SELECT count(*) FROM sessions") == [(0,)]
