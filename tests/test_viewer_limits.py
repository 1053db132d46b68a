"""One viewer's rate, one school's questions, and guesses at tokens: none costs anybody else an answer."""

from __future__ import annotations

import asyncio
import collections
import secrets
from collections.abc import AsyncIterator

import aiohttp
import psycopg
import pytest

from geoingest.access import provision, tokens
from tests import conftest, guardians

RATE = 0.5
# Ten seconds of it.
RESERVE = 5


@pytest.fixture
async def strict(
    database: conftest.Database, start: conftest.Start, school: list[provision.Enrolled]
) -> conftest.Running:
    """A service with limits small enough to reach."""
    return await start(
        database.settings(
            viewer_requests_per_second=RATE, school_questions=1, database_replica_url=""
        )
    )


async def _statuses(
    running: conftest.Running, token: str, path: str, count: int
) -> collections.Counter[int]:
    guardian = guardians.Guardian(running, token)
    return collections.Counter([(await guardian.ask(path)).status for _ in range(count)])


def _share(database: conftest.Database, child: provision.Enrolled) -> str:
    """A link to this child, made by its guardian."""
    token = secrets.token_urlsafe()
    database.query(
        "INSERT INTO shares (student_id, viewer_id, token_digest, ends_at)"
        " SELECT student_id, viewer_id, $1, now() + interval '1 hour' FROM guardianships"
        " WHERE student_id = $2",
        tokens.digest(token),
        child.student_id,
    )
    return token


def _session(database: conftest.Database, child: provision.Enrolled) -> str:
    """One more way in for its guardian."""
    token = secrets.token_urlsafe()
    database.query(
        "INSERT INTO sessions (viewer_id, token_digest, idle_seconds, ends_at)"
        " SELECT viewer_id, $1, 3600, now() + interval '1 hour' FROM guardianships"
        " WHERE student_id = $2",
        tokens.digest(token),
        child.student_id,
    )
    return token


async def test_a_viewer_who_asks_too_often_waits_alone(
    strict: conftest.Running, school: list[provision.Enrolled]
) -> None:
    """429 with the seconds to wait, for this viewer and whatever it asks; others go on."""
    greedy, other = school[0], school[1]
    path = f"/v1/students/{greedy.student_id}/location"

    statuses = await _statuses(strict, greedy.viewer_token, path, RESERVE + 2)
    refused = await guardians.Guardian(strict, greedy.viewer_token).ask("/v1/locations")
    others = await _statuses(
        strict, other.viewer_token, f"/v1/students/{other.student_id}/location", RESERVE
    )

    assert statuses == {404: RESERVE, 429: 2}
    assert (refused.status, refused.body["reason"]) == (429, "too_many_requests")
    assert 0 < int(refused.headers[aiohttp.hdrs.RETRY_AFTER]) <= 1 / RATE
    assert others == {404: RESERVE}


async def test_the_rate_is_the_viewers_not_the_tokens(
    strict: conftest.Running, database: conftest.Database, school: list[provision.Enrolled]
) -> None:
    """A second login has the same rate; a link that was given away has its own, and does not use up the giver's."""
    child = school[0]
    path = f"/v1/students/{child.student_id}/location"
    session, share = _session(database, child), _share(database, child)

    by_share = await _statuses(strict, share, path, RESERVE + 1)
    by_token = await _statuses(strict, child.viewer_token, path, RESERVE - 1)
    by_session = await _statuses(strict, session, path, 2)

    assert by_share == {404: RESERVE, 429: 1}
    assert by_token == {404: RESERVE - 1}
    assert by_session == {404: 1, 429: 1}


async def test_a_foreign_question_counts_too(
    strict: conftest.Running, school: list[provision.Enrolled]
) -> None:
    """Whoever walks through the numbers of students is slowed down as well."""
    path = f"/v1/students/{school[1].student_id}/location"

    statuses = await _statuses(strict, school[0].viewer_token, path, RESERVE + 1)

    assert statuses == {404: RESERVE, 429: 1}


async def test_one_schools_questions_take_no_seat_of_another(
    strict: conftest.Running, database: conftest.Database, school: list[provision.Enrolled]
) -> None:
    """One school's question hangs and its next is refused, while another school's is answered."""
    for number, time_zone in ((1, "UTC"), (2, "Asia/Kathmandu")):
        database.query(
            "INSERT INTO schools (school_id, time_zone) VALUES ($1, $2)", number, time_zone
        )
    database.query("UPDATE students SET school_id = 1 + student_id % 2")
    slow, same, other = (
        next(one for one in school[start:] if one.student_id % 2 == rest)
        for start, rest in ((0, 0), (2, 0), (0, 1))
    )

    def ask(one: provision.Enrolled, what: str) -> asyncio.Task[guardians.Answer]:
        guardian = guardians.Guardian(strict, one.viewer_token)
        return asyncio.create_task(guardian.ask(f"/v1/students/{one.student_id}/{what}"))

    with psycopg.connect(database.url) as blocking:
        blocking.execute("LOCK TABLE geolocation_daily IN ACCESS EXCLUSIVE MODE")
        hangs = ask(slow, "days")
        await conftest.until(lambda: _is_waiting(database))
        refused = await ask(same, "location")
        answered = await ask(other, "location")
    late = await hangs

    assert (refused.status, refused.body["reason"]) == (503, "overloaded")
    assert aiohttp.hdrs.RETRY_AFTER in refused.headers
    assert (answered.status, answered.body["reason"]) == (404, "no_position")
    assert late.status == 200


def _is_waiting(database: conftest.Database) -> bool:
    query = (
        "SELECT count(*) FROM pg_locks WHERE relation = 'geolocation_daily'::regclass"
        " AND NOT granted"
    )
    return database.query(query) == [(1,)]


@pytest.fixture
async def guessed(
    running: conftest.Running, school: list[provision.Enrolled]
) -> AsyncIterator[conftest.Running]:
    """A service at whose tokens forty guess without a pause, from the address of everybody else."""
    stop = asyncio.Event()

    async def guess(number: int) -> None:
        for attempt in range(10**6):
            if stop.is_set():
                return
            guardian = guardians.Guardian(running, f"gi_view_{number}_{attempt}")
            assert (await guardian.ask("/v1/locations")).status == 401

    async with asyncio.TaskGroup() as group:
        for number in range(40):
            group.create_task(guess(number))
        try:
            yield running
        finally:
            stop.set()


async def test_who_guesses_locks_nobody_out(
    guessed: conftest.Running, database: conftest.Database, school: list[provision.Enrolled]
) -> None:
    """Tokens that nobody here has met yet are let in meanwhile, each at its first attempt."""
    before = guessed.service.primary.get_size()

    statuses = [
        (
            await guardians.Guardian(guessed, one.viewer_token).ask(
                f"/v1/students/{one.student_id}/days"
            )
        ).status
        for one in school
    ]

    assert statuses == [200] * len(school)
    # The guesses of all share one connection.
    assert guessed.service.primary.get_size() - before <= 2
