"""Whatever ends an import, all of its lines are in force or none; a build that puts in force as it goes is found out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import psycopg
import pytest

from tests import conftest, directories, processes

# Whether no import is under way.
NONE = "SELECT pg_try_advisory_lock(4270003) AND pg_advisory_unlock(4270003)"
HALF = b"".join(b'{"external_id":"s%d"}\n' % number for number in range(20_000))
BROKEN = "tests.broken.half_in_force"


async def _half(ends: asyncio.Event) -> AsyncIterator[bytes]:
    yield HALF
    await ends.wait()
    # Somebody whose row the test may hold.
    yield b'{"external_id":"held","school":"there"}\n'


async def _until_it_waits(database: conftest.Database) -> None:
    """For the row that the test holds."""
    query = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND wait_event_type = 'Lock'"
    )
    await conftest.until(lambda: database.administer(query) == [(1,)])


async def _killed(database: conftest.Database, *, in_force: bool, module: str) -> bool:
    """Whether anything is left of an import whose service is killed as its body comes, or as it is put in force."""
    token = directories.viewer(database, "admin")
    headers = {"Authorization": f"Bearer {token}", "Content-Type": directories.NDJSON}
    database.query("INSERT INTO schools (external_id) VALUES ('there')")
    database.query("INSERT INTO students (external_id) VALUES ('held')")
    before = directories.held(database)
    ends = asyncio.Event()
    with psycopg.connect(database.url) as holder:
        holder.execute("SELECT FROM students WHERE external_id = 'held' FOR UPDATE")
        async with (
            processes.serving(database, module=module) as service,
            aiohttp.ClientSession() as session,
        ):
            url = f"{service.url}/v1/admin/students"
            put = asyncio.create_task(session.put(url, headers=headers, data=_half(ends)))
            if in_force:
                ends.set()
                await _until_it_waits(database)
            else:
                await conftest.until(lambda: database.query(NONE) == [(False,)])
                await conftest.until(lambda: _is_read(database) or _is_changed(database, before))
            service.kill()
            with pytest.raises(aiohttp.ClientError):
                await put
    await conftest.until(lambda: database.query(NONE) == [(True,)])
    return _is_changed(database, before)


def _is_read(database: conftest.Database) -> bool:
    """All that was sent has gone into the COPY, which waits for more."""
    query = (
        "SELECT count(*) FROM pg_stat_progress_copy WHERE datname = current_database()"
        " AND tuples_processed >= 10000"
    )
    return database.administer(query) == [(1,)]


def _is_changed(database: conftest.Database, before: dict[str, list[tuple[object, ...]]]) -> bool:
    return directories.held(database) != before


@pytest.mark.parametrize("in_force", [False, True], ids=["half a body", "half in force"])
async def test_kill_9_leaves_nothing(database: conftest.Database, in_force: bool) -> None:
    """Nothing of it is there, and the next one may."""
    assert not await _killed(database, in_force=in_force, module="geoingest")


async def test_the_check_finds_what_is_put_in_force_piece_by_piece(
    database: conftest.Database,
) -> None:
    """The same kill leaves half of the body there."""
    assert await _killed(database, in_force=False, module=BROKEN)


@pytest.mark.parametrize(("module", "is_broken"), [("geoingest", False), (BROKEN, True)])
async def test_a_bad_line_at_the_end_leaves_nothing(
    database: conftest.Database, module: str, is_broken: bool
) -> None:
    """Behind twenty thousand good ones; and the check finds a build that has put these in force by then."""
    token = directories.viewer(database, "admin")
    headers = {"Authorization": f"Bearer {token}", "Content-Type": directories.NDJSON}
    before = directories.held(database)
    async with (
        processes.serving(database, module=module) as service,
        aiohttp.ClientSession(service.url, headers=headers) as session,
        session.put("/v1/admin/students", data=HALF + b"no line") as answer,
    ):
        status = answer.status

    assert status == 422
    assert _is_changed(database, before) == is_broken


async def test_a_database_that_goes_away_leaves_nothing(
    database: conftest.Database, running: conftest.Running
) -> None:
    """503, and the same again succeeds."""
    admin = directories.admin(database, running)
    await admin.fill()
    before = directories.held(database)
    lines = [{"external_id": "new"}, {"external_id": "dan", "school": "south"}]
    with psycopg.connect(database.url) as holder:
        holder.execute("SELECT FROM students WHERE external_id = 'dan' FOR UPDATE")
        put = asyncio.create_task(admin.put("students", lines))
        await _until_it_waits(database)
        database.administer(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        answer = await put
    after = directories.held(database)
    again = await admin.put("students", lines)

    assert (answer.status, after) == (503, before)
    assert again.body == {"lines": 2, "added": 1, "changed": 1, "unchanged": 0}
