"""Who may put a body into the directory, how large it may be, one at a time, and what is left of one that is cut."""

from __future__ import annotations

import asyncio
import datetime
import gzip
from collections.abc import AsyncIterator

import pytest

from geoingest.access import directory_endpoints, directory_import, provision, tokens
from tests import conftest, directories, guardians

LOCK = "SELECT pg_try_advisory_lock(4270003) AND pg_advisory_unlock(4270003)"


@pytest.fixture
async def admin(database: conftest.Database, running: conftest.Running) -> directories.Admin:
    """Somebody who may, and a directory with somebody in it."""
    one = directories.admin(database, running)
    await one.fill()
    return one


def _students(count: int) -> bytes:
    return b"".join(b'{"external_id":"s%d","class":"1a"}\n' % number for number in range(count))


async def test_only_administrators_may(
    running: conftest.Running, database: conftest.Database, school: list[provision.Enrolled]
) -> None:
    """No token of ours: 401. Known and no admin: 404, the same for all of them; none of it is told of the body."""
    owner = directories.viewer(database, "admin")
    shared, session, other_session = (tokens.create("viewer") for _ in range(3))
    database.query(
        "INSERT INTO shares (viewer_id, student_id, token_digest, ends_at)"
        " SELECT viewer_id, 1, $2, now() + interval '1 day' FROM viewers WHERE token_digest = $1",
        tokens.digest(owner),
        tokens.digest(shared),
    )
    for token, role in ((session, "admin"), (other_session, "guardian")):
        database.query(
            "INSERT INTO sessions (viewer_id, token_digest, idle_seconds, ends_at)"
            " SELECT max(viewer_id), $1, 60, now() + interval '1 day' FROM viewers WHERE role = $2",
            tokens.digest(token),
            role,
        )
    gone = directories.viewer(database, "admin", "gone")
    database.query("UPDATE viewers SET revoked_at = now() WHERE external_id = 'gone'")
    everyone = directories.viewer(database, "staff", "everyone")
    database.query("UPDATE viewers SET sees_all = TRUE WHERE external_id = 'everyone'")
    unknown = ["", "gi_view_unknown", school[0].device_token, gone]
    foreign = [school[0].viewer_token, everyone, shared, other_session]
    good = [owner, session]

    answers = {
        token: await directories.Admin(running, token).send("students", b"no line", "text/html")
        for token in (*unknown, *foreign, *good)
    }

    assert [answers[token].status for token in unknown] == [401] * 4
    assert [answers[token].status for token in foreign] == [404] * 4
    assert len({answers[token].raw for token in foreign}) == 1
    student = await guardians.Guardian(running, foreign[0]).ask("/v1/students/999/location")
    assert student.raw == answers[foreign[0]].raw
    assert [answers[token].status for token in good] == [415] * 2


async def test_a_body_may_be_compressed_and_only_so_large(
    admin: directories.Admin, database: conftest.Database, running: conftest.Running
) -> None:
    """In bytes, said beforehand or not, also where few of them become many; and in lines. Nothing has changed then."""
    before = directories.held(database)
    line = b'{"external_id":"x"}' + b" " * 10_000 + b"\n"
    huge = line * (directory_endpoints.MOST_BYTES // len(line) + 1)

    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(huge), 2**20):
            yield huge[at : at + 2**20]

    said = await admin.send("students", huge)
    unsaid = await admin.send("students", pieces())
    bomb = await admin.compressed("students", gzip.compress(huge, 1))
    many = await admin.send("students", _students(directory_import.MOST_LINES + 1))
    good = await admin.compressed("students", gzip.compress(_students(10)))

    assert [one.status for one in (said, unsaid, bomb, many)] == [413] * 4
    assert (good.status, good.body["added"]) == (200, 10)
    after = directories.held(database)
    assert {name: after[name] for name in before if name != "students"} == {
        name: rows for name, rows in before.items() if name != "students"
    }
    assert len(after["students"]) == len(before["students"]) + 10


async def test_one_at_a_time(admin: directories.Admin, database: conftest.Database) -> None:
    """A second one is told 409 while the first still comes, changes nothing, and succeeds when sent again."""
    begun, end = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield _students(10_000)
        begun.set()
        await end.wait()
        yield b'{"external_id":"last"}'

    first = asyncio.create_task(admin.send("students", slow()))
    await begun.wait()
    await conftest.until(lambda: database.query(LOCK) == [(False,)])
    second = await admin.put("students", [{"external_id": "other"}])
    end.set()
    done = await first
    third = await admin.put("students", [{"external_id": "other"}])

    assert (second.status, second.body["reason"]) == (409, "directory_busy")
    assert (done.status, done.body["added"]) == (200, 10_001)
    assert (third.status, third.body["added"]) == (200, 1)


async def test_a_hundred_thousand_lines_beside_pings(
    school: list[provision.Enrolled],
    admin: directories.Admin,
    database: conftest.Database,
    running: conftest.Running,
) -> None:
    """All of them are there at the end, and every ping that was posted meanwhile is stored."""
    await running.service.credentials.refresh()
    posted: list[int] = []

    async def post() -> None:
        while not import_.done():
            now = datetime.datetime.now(datetime.UTC).isoformat()
            body = {"timestamp": now, "latitude": 1.5, "longitude": 2.5}
            headers = {"Authorization": f"Bearer {school[0].device_token}"}
            async with running.client.post("/v1/pings", json=body, headers=headers) as answer:
                posted.append((await answer.json())["stored"])
            await asyncio.sleep(0.01)

    import_ = asyncio.create_task(admin.send("students", _students(directory_import.MOST_LINES)))
    await post()
    answer = await import_

    assert answer.body == {"lines": 100_000, "added": 100_000, "changed": 0, "unchanged": 0}
    query = "SELECT count(*) FROM students JOIN classes USING (class_id) WHERE classes.external_id = '1a'"
    assert database.query(query) == [(100_001,)]
    assert set(posted) == {1}
    assert database.query("SELECT count(*) FROM geolocation_data") == [(len(posted),)]


async def test_a_body_that_is_cut_leaves_nothing(
    admin: directories.Admin, database: conftest.Database
) -> None:
    """A sender that hangs up has sent nothing, and is in nobody's way."""
    before = directories.held(database)
    begun = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield _students(10_000)
        begun.set()
        await asyncio.Event().wait()

    put = asyncio.create_task(admin.send("students", endless()))
    await begun.wait()
    await conftest.until(lambda: database.query(LOCK) == [(False,)])
    put.cancel()
    await conftest.until(lambda: database.query(LOCK) == [(True,)])

    assert directories.held(database) == before
    assert (await admin.put("students", [{"external_id": "new"}])).status == 200


async def test_who_is_revoked_meanwhile_changes_nothing(
    admin: directories.Admin, database: conftest.Database
) -> None:
    """An administrator whose body is still coming."""
    before = directories.held(database)
    begun, end = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield _students(10_000)
        begun.set()
        await end.wait()

    put = asyncio.create_task(admin.send("students", slow()))
    await begun.wait()
    await conftest.until(lambda: database.query(LOCK) == [(False,)])
    database.query("UPDATE viewers SET revoked_at = now() WHERE external_id IS NULL")
    end.set()

    assert (await put).status == 404
    assert directories.held(database) == before
