"""Whatever lets somebody look is taken away, and no process goes on showing, whatever it has in memory."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

import aiohttp
import pytest

from tests import cast, conftest, processes

# What is promised; what is kept in memory of whose a token is, is kept for longer.
_PROMISED_SECONDS = 5.0
_STILL_SECONDS = 1.0


class Taken(NamedTuple):
    """Who looks, what takes it away, what then is answered, and the line of the rule that knows of it."""

    who: str
    statement: str
    status: int
    line: str


TAKEN = {
    "viewer": Taken(
        "guardian",
        "UPDATE viewers SET revoked_at = now()",
        401,
        "AND viewer.revoked_at IS NULL",
    ),
    "session": Taken(
        "guardian's session",
        "DELETE FROM sessions",
        401,
        "AND (by_session = 0 OR EXISTS (",
    ),
    "idle session": Taken(
        "guardian's session",
        "UPDATE sessions SET used_at = now() - interval '2 hours'",
        401,
        "AND session.used_at + session.idle_seconds * interval '1 second' > now()",
    ),
    "guardianship": Taken(
        "guardian",
        "UPDATE guardianships SET valid_until = now()",
        404,
        "AND guardianship.valid_until > now()",
    ),
    "consent": Taken(
        "guardian",
        "UPDATE guardianships SET consent_until = now()",
        404,
        "AND guardianship.consent_until > now()",
    ),
    "guardianship of a share's maker": Taken(
        "share",
        "UPDATE guardianships SET valid_until = now()",
        404,
        "AND guardianship.valid_until > now()",
    ),
    "share": Taken(
        "share",
        "UPDATE shares SET revoked_at = now()",
        401,
        "AND share.revoked_at IS NULL",
    ),
    "class": Taken(
        "staff of the class",
        "UPDATE students SET class_id = 2 WHERE school_id = 1",
        404,
        "AND (scope.class_id IS NULL OR scope.class_id = student.class_id)",
    ),
}


@pytest.fixture
def everybody(database: conftest.Database) -> cast.Cast:
    """A child, and all who come to the door."""
    return cast.assemble(database)


@contextlib.asynccontextmanager
async def _two(database: conftest.Database) -> AsyncIterator[list[str]]:
    """The addresses of two processes on one database with its replica."""
    async with processes.serving(database) as one, processes.serving(database) as other:
        yield [one.url, other.url]


async def _status(session: aiohttp.ClientSession, url: str, token: str) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    path = f"{url}/v1/students/{cast.CHILD}/location"
    async with session.get(path, headers=headers) as answer:
        return answer.status


async def _all(session: aiohttp.ClientSession, urls: Sequence[str], token: str) -> set[int]:
    return set(await asyncio.gather(*(_status(session, url, token) for url in urls)))


async def _shown(session: aiohttp.ClientSession, urls: Sequence[str], token: str) -> None:
    """Returns once each has shown the child, so that each knows whose the token is."""
    async with asyncio.timeout(20):
        while await _all(session, urls, token) != {200}:
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("kind", TAKEN)
async def test_nothing_is_shown_any_more(
    database: conftest.Database, everybody: cast.Cast, kind: str
) -> None:
    """Within 5 s, in fact at once, two processes that have just shown the child refuse, and go on refusing."""
    taken = TAKEN[kind]
    token = everybody.seeing[taken.who]
    async with _two(database) as urls, aiohttp.ClientSession() as session:
        await _shown(session, urls, token)

        database.query(taken.statement)
        taken_at = time.monotonic()
        first = await _all(session, urls, token)
        refused_after_seconds = time.monotonic() - taken_at
        later = [await _all(session, urls, token) for _ in range(20)]

    assert first == {taken.status}
    assert refused_after_seconds < _PROMISED_SECONDS
    assert later == [{taken.status}] * 20


@pytest.mark.parametrize("kind", TAKEN)
async def test_a_rule_that_forgets_it_is_found_out(
    database: conftest.Database, everybody: cast.Cast, kind: str
) -> None:
    """Without its line in the rule of who sees whom, the child is shown on: so the test above sees that line."""
    taken = TAKEN[kind]
    token = everybody.seeing[taken.who]
    _forget(database, taken.line)
    async with _two(database) as urls, aiohttp.ClientSession() as session:
        await _shown(session, urls, token)

        database.query(taken.statement)
        # The replica has long been told.
        await asyncio.sleep(_STILL_SECONDS)
        still = await _all(session, urls, token)

    assert still == {200}


def _forget(database: conftest.Database, line: str) -> None:
    """Takes a condition out of the rule; of one that asks for a row, the asking."""
    ((rule,),) = database.query("SELECT pg_get_functiondef('seen_by'::regproc)")
    forgetful = line.replace("= 0 OR", "= by_session OR") if line.endswith("(") else ""
    # Once for those who are named, and perhaps once for all.
    assert str(rule).count(line) in {1, 2}
    database.query(str(rule).replace(line, forgetful))
