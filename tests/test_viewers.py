"""An app learns who its viewer is, of schools and of classes: what the viewer may know, and only for as long."""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

import aiohttp
import pytest

from geoingest.access import provision, tokens
from tests import conftest, guardians, processes

# What stands in the issue, and what two seconds in memory leave of it.
LATEST_SECONDS = 5.0
OF_FOREIGN = ("/v1/schools/2", "/v1/classes/3/students")
OF_UNKNOWN = ("/v1/schools/77", "/v1/classes/77/students")
OF_NOTHING = ("/v1/schools/0", f"/v1/schools/{2**31}", f"/v1/classes/{10**30}/students")


@pytest.fixture
def town(database: conftest.Database, school: list[provision.Enrolled]) -> list[provision.Enrolled]:
    """Two schools: the first with classes 1 and 2, of students 1 to 3 and 4 to 6; the second with class 3, of 7 and 8."""
    database.query(
        "INSERT INTO schools (school_id, time_zone, external_id, opens_at, closes_at, weekdays)"
        " VALUES (1, 'Europe/Berlin', 'north', '07:45', '16:00', '{1,2,3,4,5,6}'),"
        " (2, 'Asia/Kathmandu', NULL, NULL, NULL, DEFAULT)"
    )
    database.query(
        "INSERT INTO school_holidays (school_id, day)"
        " SELECT 1, current_date + one FROM unnest('{-3,40,30}'::integer[]) AS one"
    )
    database.query(
        "INSERT INTO classes (class_id, school_id, external_id)"
        " VALUES (1, 1, '4a'), (2, 1, '4b'), (3, 2, '4c')"
    )
    database.query(
        "UPDATE students SET external_id = 's-' || student_id,"
        " school_id = CASE WHEN student_id <= 6 THEN 1 WHEN student_id <= 8 THEN 2 END,"
        " class_id = CASE WHEN student_id <= 3 THEN 1 WHEN student_id <= 6 THEN 2"
        " WHEN student_id <= 8 THEN 3 END"
    )
    return school


def _staff(database: conftest.Database, *, class_id: int | None, role: str = "staff") -> str:
    """A member of staff of the first school, or of one of its classes; the token."""
    token = secrets.token_urlsafe()
    database.query(
        "WITH added AS (INSERT INTO viewers (role, token_digest) VALUES ($1, $2) RETURNING viewer_id)"
        " INSERT INTO staff_scopes SELECT viewer_id, 1, $3 FROM added",
        role,
        tokens.digest(token),
        class_id,
    )
    return token


def _ids(body: Any) -> list[int]:
    return [one["student_id"] for one in body["students"]]


@pytest.fixture
async def kept(database: conftest.Database, start: conftest.Start) -> conftest.Running:
    """A service at work."""
    return await start(database.settings())


async def test_a_guardian_is_told_who_it_is(
    kept: conftest.Running, database: conftest.Database, town: list[provision.Enrolled]
) -> None:
    """Number and role, the children with the platform's own ids, and nobody else's; stored in no cache on the way."""
    ((viewer_id,),) = database.query("SELECT viewer_id FROM guardianships WHERE student_id = 4")

    answer = await guardians.Guardian(kept, town[3].viewer_token).ask("/v1/me")

    assert answer.status == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.body == {
        "viewer_id": viewer_id,
        "role": "guardian",
        "students": [{"student_id": 4, "external_id": "s-4", "class_id": 2, "school_id": 1}],
    }


async def test_whose_students_one_sees_of_that_school_one_knows(
    kept: conftest.Running, database: conftest.Database, town: list[provision.Enrolled]
) -> None:
    """Its hours on its own clock, and the holidays to come in their order; a school may have no hours."""
    days = database.query("SELECT (current_date + 30)::text, (current_date + 40)::text")

    first = await guardians.Guardian(kept, town[0].viewer_token).ask("/v1/schools/1")
    second = await guardians.Guardian(kept, town[6].viewer_token).ask("/v1/schools/2")

    assert first.body == {
        "school_id": 1,
        "external_id": "north",
        "time_zone": "Europe/Berlin",
        "opens_at": "07:45:00",
        "closes_at": "16:00:00",
        "weekdays": [1, 2, 3, 4, 5, 6],
        "holidays": list(days[0]),
    }
    assert (second.body["opens_at"], second.body["closes_at"]) == (None, None)


async def test_of_a_class_one_is_told_whom_one_sees(
    kept: conftest.Running, database: conftest.Database, town: list[provision.Enrolled]
) -> None:
    """Staff of the school or of the class: all of it; a guardian: the own child; staff of another class: nothing."""
    viewers = {
        "school": _staff(database, class_id=None),
        "class": _staff(database, class_id=1),
        "admin": _staff(database, class_id=None, role="admin"),
        "guardian": town[1].viewer_token,
        "other class": _staff(database, class_id=2),
    }

    answers = {
        name: await guardians.Guardian(kept, token).ask("/v1/classes/1/students")
        for name, token in viewers.items()
    }
    own = await guardians.Guardian(kept, viewers["class"]).ask("/v1/me")

    assert {name: _ids(one.body) for name, one in answers.items() if one.status == 200} == {
        "school": [1, 2, 3],
        "class": [1, 2, 3],
        "admin": [1, 2, 3],
        "guardian": [2],
    }
    assert answers["other class"].status == 404
    assert (own.body["role"], _ids(own.body)) == ("staff", [1, 2, 3])


async def test_foreign_and_unknown_are_alike(
    kept: conftest.Running, database: conftest.Database, town: list[provision.Enrolled]
) -> None:
    """Another school and class, such as there are none, and numbers that nothing has: the same 404, byte by byte."""
    viewers = (town[0].viewer_token, _staff(database, class_id=None))

    answers = [
        await guardians.Guardian(kept, token).ask(path)
        for token in viewers
        for path in (*OF_FOREIGN, *OF_UNKNOWN, *OF_NOTHING)
    ]

    assert {(one.status, one.raw) for one in answers} == {(404, answers[0].raw)}


async def test_whoever_is_nobody_is_told_nothing(
    kept: conftest.Running, database: conftest.Database, town: list[provision.Enrolled]
) -> None:
    """No known token, a device's: 401. By a share, whoever made it, there is nothing at all: 404."""
    share = secrets.token_urlsafe()
    database.query(
        "INSERT INTO shares (student_id, viewer_id, token_digest, ends_at)"
        " SELECT student_id, viewer_id, $1, now() + interval '1 hour' FROM guardianships"
        " WHERE student_id = 1",
        tokens.digest(share),
    )
    paths = ("/v1/me", "/v1/schools/1", "/v1/classes/1/students")

    strangers = [
        (await guardians.Guardian(kept, token).ask(path)).status
        for token in ("unknown", town[0].device_token)
        for path in paths
    ]
    shared = [(await guardians.Guardian(kept, share).ask(path)).status for path in paths]

    assert strangers == [401] * 6
    assert shared == [404] * 3


async def test_who_sees_nobody_is_a_viewer_all_the_same(
    kept: conftest.Running, database: conftest.Database, town: list[provision.Enrolled]
) -> None:
    """An empty list; a session that has ended is told so instead."""
    database.query("DELETE FROM guardianships WHERE student_id IN (1, 2)")
    ended = secrets.token_urlsafe()
    guardian = guardians.Guardian(kept, ended)
    database.query(
        "INSERT INTO sessions (viewer_id, token_digest, idle_seconds, ends_at)"
        " SELECT viewer_id, $1, 60, now() + interval '1 hour' FROM viewers WHERE token_digest = $2",
        tokens.digest(ended),
        tokens.digest(town[1].viewer_token),
    )

    nobody = await guardians.Guardian(kept, town[0].viewer_token).ask("/v1/me")
    before = await guardian.ask("/v1/me")
    database.query("DELETE FROM sessions")
    async with asyncio.timeout(LATEST_SECONDS):
        while (after := await guardian.ask("/v1/me")).status == 200:
            await asyncio.sleep(0.05)

    assert (nobody.status, nobody.body["students"]) == (200, [])
    assert (before.status, after.status) == (200, 401)


async def test_another_session_of_the_viewer_keeps_no_ended_one_alive(
    kept: conftest.Running, database: conftest.Database, town: list[provision.Enrolled]
) -> None:
    """What is kept is kept for one bearer: while one session asks all the time, the other ends in time."""
    first, second = secrets.token_urlsafe(), secrets.token_urlsafe()
    database.query(
        "INSERT INTO sessions (viewer_id, token_digest, idle_seconds, ends_at)"
        " SELECT viewer_id, one, 60, now() + interval '1 hour'"
        " FROM viewers, unnest($2::bytea[]) AS one WHERE viewers.token_digest = $1",
        tokens.digest(town[0].viewer_token),
        [tokens.digest(first), tokens.digest(second)],
    )
    ended, going_on = (guardians.Guardian(kept, one) for one in (first, second))
    assert [(await one.ask("/v1/schools/1")).status for one in (ended, going_on)] == [200, 200]

    database.query("DELETE FROM sessions WHERE token_digest = $1", tokens.digest(first))
    async with asyncio.timeout(LATEST_SECONDS):
        while (await ended.ask("/v1/schools/1")).status == 200:
            assert (await going_on.ask("/v1/schools/1")).status == 200
            await asyncio.sleep(0.05)

    assert (await ended.ask("/v1/schools/1")).status == 401
    assert (await going_on.ask("/v1/schools/1")).status == 200


class _Asked:
    """Who asks what, of both processes again and again, and is not to be answered any more."""

    def __init__(self, token: str, path: str, *, lacks: int | None = None) -> None:
        self._headers = {"Authorization": f"Bearer {token}"}
        self._path = path
        # A student who is to be missing; None: everything.
        self._lacks = lacks

    async def is_told(self, session: aiohttp.ClientSession) -> bool:
        """Whether it is told what it may not know later."""
        async with session.get(self._path, headers=self._headers) as got:
            if got.status != 200:
                assert got.status in {401, 404}, await got.text()
                return False
            return self._lacks is None or self._lacks in _ids(await got.json())


def _changes(
    database: conftest.Database, town: list[provision.Enrolled]
) -> list[tuple[str, list[_Asked]]]:
    """What happens, and who is not to be told what from then on."""
    staff, of_class = (_staff(database, class_id=one) for one in (None, 1))
    session, own = secrets.token_urlsafe(), [one.viewer_token for one in town]
    database.query(
        "INSERT INTO sessions (viewer_id, token_digest, idle_seconds, ends_at)"
        " SELECT viewer_id, $1, 60, now() + interval '1 hour' FROM guardianships"
        " WHERE student_id = 5",
        tokens.digest(session),
    )
    all_paths = ("/v1/me", "/v1/schools/1", "/v1/classes/1/students")
    return [
        (
            "UPDATE viewers SET revoked_at = now()"
            " WHERE viewer_id = (SELECT viewer_id FROM staff_scopes WHERE class_id IS NULL)",
            [_Asked(staff, path) for path in all_paths],
        ),
        (
            "UPDATE viewers SET revoked_at = now()"
            " WHERE viewer_id = (SELECT viewer_id FROM guardianships WHERE student_id = 2)",
            [_Asked(own[1], path) for path in all_paths],
        ),
        ("DELETE FROM sessions", [_Asked(session, "/v1/me"), _Asked(session, "/v1/schools/1")]),
        (
            "DELETE FROM guardianships WHERE student_id = 3",
            [_Asked(own[2], "/v1/me", lacks=3), *(_Asked(own[2], one) for one in all_paths[1:])],
        ),
        (
            "UPDATE guardianships SET consent_until = now() WHERE student_id = 6",
            [_Asked(own[5], "/v1/me", lacks=6), _Asked(own[5], "/v1/schools/1")],
        ),
        (
            "UPDATE students SET class_id = 2 WHERE student_id = 1",
            [_Asked(of_class, path, lacks=1) for path in ("/v1/me", "/v1/classes/1/students")],
        ),
        (
            "UPDATE students SET school_id = 2, class_id = 3 WHERE student_id = 4",
            [_Asked(own[3], "/v1/schools/1")],
        ),
    ]


async def _longest(
    database: conftest.Database, town: list[provision.Enrolled], module: str
) -> float:
    """The longest that anybody was told too much, by either of two processes that had it in memory."""
    loop = asyncio.get_running_loop()
    changes = _changes(database, town)
    seconds: list[float] = []

    async def watch(session: aiohttp.ClientSession, asked: _Asked, changed_at: float) -> None:
        while await asked.is_told(session):
            if loop.time() - changed_at > 2 * LATEST_SECONDS:
                break
            await asyncio.sleep(0.05)
        seconds.append(loop.time() - changed_at)

    async with (
        processes.serving(database, module=module) as first,
        processes.serving(database, module=module) as second,
        aiohttp.ClientSession(first.url) as one,
        aiohttp.ClientSession(second.url) as other,
    ):
        sessions = (one, other)
        for _, asked in changes:
            told = [await each.is_told(session) for session in sessions for each in asked]
            assert all(told)
        async with asyncio.TaskGroup() as group:
            for change, asked in changes:
                database.query(change)
                changed_at = loop.time()
                for session in sessions:
                    for each in asked:
                        group.create_task(watch(session, each, changed_at))
    return max(seconds)


async def test_what_is_revoked_is_told_by_no_process(
    database: conftest.Database, town: list[provision.Enrolled]
) -> None:
    """Viewer, session, guardianship, consent, class and school: within five seconds, though both had the answers in memory."""
    assert await _longest(database, town, "geoingest") < LATEST_SECONDS


async def test_the_check_finds_a_memory_that_is_too_long(
    database: conftest.Database, town: list[provision.Enrolled]
) -> None:
    """A build that keeps answers for a minute is found out."""
    assert await _longest(database, town, "tests.broken.remembers") > LATEST_SECONDS
