"""Every endpoint against everybody: who does not see a child learns nothing, not even that there is one."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, NamedTuple

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from geoingest import http, lookup
from geoingest.access import directory
from geoingest.api import document
from geoingest.tracking import desk, endpoints
from tests import cast, conftest


class Door(NamedTuple):
    """An operation that a viewer may ask for, and what is sent there."""

    method: str
    path: str
    request: dict[str, Any]


Ask = Callable[[Door, int, str], Awaitable[tuple[int, bytes]]]

# Of one student, by number.
OF_STUDENT = (
    Door("get", "/v1/students/{student_id}/location", {}),
    Door("get", "/v1/students/{student_id}/track", {}),
    Door("get", "/v1/students/{student_id}/track", {"headers": {"Accept": "text/csv"}}),
    Door("get", "/v1/students/{student_id}/track", {"headers": {"Accept": "application/gpx+xml"}}),
    Door("get", "/v1/students/{student_id}/track", {"params": {"resolution": "hour"}}),
    Door("get", "/v1/students/{student_id}/days", {}),
    Door("get", "/v1/students/{student_id}/lookups", {}),
    Door("get", "/v1/locations?student_id={student_id}", {}),
    Door("get", "/v1/students/{student_id}/shares", {}),
    Door("post", "/v1/students/{student_id}/shares", {"json": {"hours": 1}}),
)
# By the number of a share instead of a student's.
OF_SHARE = Door("delete", "/v1/shares/{share_id}", {})
# Of whom the viewer sees.
OF_ALL = (Door("get", "/v1/locations", {}), Door("get", "/v1/me", {}))
# Of the child's school and class, by their numbers; a school is known to who sees anybody there.
OF_SCHOOL = Door("get", "/v1/schools/{student_id}", {})
OF_CLASS = Door("get", "/v1/classes/{student_id}/students", {})
# Of whoever asks.
OF_BEARER = (
    Door("get", "/v1/sessions", {}),
    Door("delete", "/v1/sessions", {}),
    Door("post", "/v1/password", {"json": {"old_password": "a" * 20, "new_password": "b" * 20}}),
)
# Of administrators, whose body is not even looked at for anybody else.
OF_ADMIN = tuple(Door("put", f"/v1/admin/{kind}", {"data": b"no line"}) for kind in directory.KINDS)
# Nobody has a token yet; and a session that is over may be ended once more. See test_login and test_sessions.
ELSEWHERE = {("post", "/v1/login"), ("post", "/v1/logout")}


@pytest.fixture
def everybody(database: conftest.Database) -> cast.Cast:
    """A child, and all who come to the door."""
    return cast.assemble(database)


def _asking(client: Any) -> Ask:  # the test client's type is generic only for the type checker
    async def ask(door: Door, student_id: int, token: str) -> tuple[int, bytes]:
        request = dict(door.request)
        headers = {**request.pop("headers", {}), "Authorization": f"Bearer {token}"}
        path = door.path.format(student_id=student_id, share_id=student_id)
        async with client.request(door.method, path, headers=headers, **request) as answer:
            return answer.status, await answer.read()

    return ask


@pytest.fixture
async def ask(database: conftest.Database, everybody: cast.Cast, start: conftest.Start) -> Ask:
    """Of a service without a replica: what was just written is seen at once."""
    running = await start(database.settings(database_replica_url=""))
    return _asking(running.client)


def _leaks(answer: bytes) -> bool:
    return any(canary.encode() in answer for canary in cast.CANARIES)


async def _compare(ask: Ask, everybody: cast.Cast, doors: Sequence[Door]) -> list[str]:
    """Which of those who do not see the child learn more of it than of one who does not exist."""
    found = []
    for who, token in everybody.foreign.items():
        for door in doors:
            foreign, unknown = [await ask(door, one, token) for one in (cast.CHILD, cast.UNKNOWN)]
            if foreign != unknown or foreign[0] != 404 or _leaks(foreign[1]):
                found.append(f"{who}: {door.method} {door.path} {foreign} {unknown}")
    return found


async def test_who_sees_the_child_is_answered(ask: Ask, everybody: cast.Cast) -> None:
    """Or the rest would prove nothing: each of them is shown the position, alone and among all."""
    for who, token in everybody.seeing.items():
        for door in (*OF_STUDENT[:3], OF_ALL[0]):
            status, answer = await ask(door, cast.CHILD, token)

            assert (status, _leaks(answer)) == (200, True), (who, door)


async def test_foreign_and_unknown_are_alike(ask: Ask, everybody: cast.Cast) -> None:
    """Same status and same bytes for a child whom one does not see and for none at all, at every door."""
    assert await _compare(ask, everybody, OF_STUDENT) == []


async def test_a_school_and_its_classes_are_known_to_their_own(
    ask: Ask, everybody: cast.Cast
) -> None:
    """Foreign and unknown are alike here, too; and a class is its own teachers' and guardians'."""
    for who, token in everybody.foreign.items():
        for door in (OF_SCHOOL, OF_CLASS):
            foreign, unknown = await ask(door, 1, token), await ask(door, 99, token)

            assert (foreign, unknown[0]) == (unknown, 404), (who, door)
            assert str(cast.CHILD).encode() not in foreign[1]
    for who in ("guardian", "staff of the school", "staff of the class", "who sees all"):
        for door in (OF_SCHOOL, OF_CLASS):
            status, _ = await ask(door, 1, everybody.seeing[who])

            assert status == 200, (who, door)


async def test_nobody_is_told_that_at_every_door(ask: Ask, everybody: cast.Cast) -> None:
    """401 with the same bytes, whoever is asked for."""
    answers = {
        await ask(door, student, token)
        for token in everybody.nobody.values()
        for doors, numbers in (
            ((*OF_STUDENT, *OF_ALL), (cast.CHILD, cast.UNKNOWN)),
            ((OF_SCHOOL, OF_CLASS), (1, 99)),
            ((*OF_BEARER, *OF_ADMIN), (0,)),
        )
        for door in doors
        for student in numbers
    }

    assert {status for status, _ in answers} == {401}
    assert len(answers) == 1


async def test_the_directory_is_closed_to_all_but_administrators(
    ask: Ask, everybody: cast.Cast
) -> None:
    """What a student that is not there is answered, also to who sees everybody."""
    viewers = {**everybody.foreign, **everybody.seeing}
    answers = {await ask(door, 0, token) for token in viewers.values() for door in OF_ADMIN}

    assert answers == {await ask(OF_STUDENT[0], cast.UNKNOWN, viewers["guardian"])}


async def test_shares_of_others_and_unknown_ones_are_alike(
    ask: Ask, database: conftest.Database, everybody: cast.Cast
) -> None:
    """Who does not see the child ends none of its shares, and does not learn that there is one."""
    query = "SELECT share_id FROM shares WHERE student_id = $1 AND viewer_id = 1 ORDER BY 1"
    share = int(str(database.query(query, cast.CHILD)[0][0]))

    answers = {
        await ask(OF_SHARE, one, token)
        for token in everybody.foreign.values()
        for one in (share, 2**31 - 1, 2**31, 10**30)
    }
    nobody = {await ask(OF_SHARE, share, token) for token in everybody.nobody.values()}

    assert [status for status, _ in answers] == [404]
    assert [status for status, _ in nobody] == [401]
    assert (await ask(OF_STUDENT[0], cast.CHILD, everybody.seeing["share"]))[0] == 200


async def test_all_whom_one_sees_are_not_the_child(ask: Ask, everybody: cast.Cast) -> None:
    """Whoever asks for all is shown only whom it sees."""
    for who, token in everybody.foreign.items():
        for door in OF_ALL:
            status, answer = await ask(door, 0, token)

            # By a share nobody is told who is who.
            assert status == (404 if "share" in who and door.path == "/v1/me" else 200), (who, door)
            assert not _leaks(answer), (who, door)
            assert str(cast.CHILD).encode() not in answer, (who, door)


def test_every_operation_of_a_viewer_is_in_the_matrix() -> None:
    """One that is added and not tried against everybody turns this red."""
    paths = orjson.loads(document.document())["paths"]
    offered = {
        (method, path)
        for path, operations in paths.items()
        for method, operation in operations.items()
        if operation.get("security") != [{"device": []}]
    }
    doors = (*OF_STUDENT, OF_SHARE, *OF_ALL, OF_SCHOOL, OF_CLASS, *OF_BEARER, *OF_ADMIN)
    tried = {(one.method, _anonymous(one.path.partition("?")[0])) for one in doors}

    assert {(method, _anonymous(path)) for method, path in offered} - ELSEWHERE == tried


def _anonymous(path: str) -> str:
    """An address whatever its parameter is called."""
    return re.sub(r"\{\w+\}", "{}", path)


@pytest.fixture
async def without_first_wall(
    database: conftest.Database, everybody: cast.Cast, start: conftest.Start
) -> AsyncIterator[Ask]:
    """A read side that shows all it finds: whoever asks, nothing is checked as it is recorded."""
    running = await start(database.settings(database_replica_url=""))

    class Trusting:
        """Bearers of whom each sees everybody."""

        find = running.service.bearers.find
        confirm = running.service.bearers.confirm
        school = running.service.bearers.school

        async def require(self, bearer: object, student_id: int) -> None:
            """Nobody is refused."""

    class Careless:
        """A record that is kept of nothing, and refuses nobody."""

        def require_open(self) -> None:
            """It always is."""

        async def record(self, one: lookup.Lookup) -> set[int]:
            """None is left out, whoever asks."""
            return set()

    careless = desk.Desk(
        Trusting(),
        running.service.seats,
        running.service.replica,
        desk.Records(Careless(), Careless()),
    )
    reading = endpoints.Endpoints(careless, detail_days=90, rollup_days=365, lookup_days=365)
    public = web.Application(middlewares=[http.observe])
    public.add_routes(endpoints.routes(reading))
    async with TestClient(TestServer(public)) as client:
        yield _asking(client)


async def test_the_database_alone_holds(without_first_wall: Ask, everybody: cast.Cast) -> None:
    """With the application's check taken out, row-level security shows nothing of the child to who does not see it."""
    for who, token in everybody.foreign.items():
        for door in (*OF_STUDENT, *OF_ALL):
            _, answer = await without_first_wall(door, cast.CHILD, token)

            assert not _leaks(answer), (who, door)
    for who, token in everybody.seeing.items():
        status, answer = await without_first_wall(OF_STUDENT[0], cast.CHILD, token)

        assert (status, _leaks(answer)) == (200, True), who


async def test_the_application_alone_holds(
    ask: Ask, database: conftest.Database, everybody: cast.Cast
) -> None:
    """With row-level security taken out, the application's check shows nothing either."""
    for table in ("geolocation_seen", "geolocation_hourly", "geolocation_daily", "lookups"):
        database.query(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")

    assert await _compare(ask, everybody, OF_STUDENT) == []


async def test_without_either_wall_the_test_would_see_it(
    without_first_wall: Ask, database: conftest.Database, everybody: cast.Cast
) -> None:
    """The comparison that finds nothing finds much when both are taken out."""
    for table in ("geolocation_seen", "geolocation_hourly", "geolocation_daily", "lookups"):
        database.query(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")

    assert len(await _compare(without_first_wall, everybody, OF_STUDENT)) > 20
