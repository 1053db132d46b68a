"""What makes no share: nonsense, what comes too slowly or is too long, no primary, and one too many."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import AsyncIterator

import pytest

from geoingest import connections, db, errors
from geoingest.access import provision, shares
from geoingest.bearer import Bearer
from tests import conftest, guardians, sharers

HOUR = datetime.timedelta(hours=1)


@pytest.fixture
def child(database: conftest.Database, school: list[provision.Enrolled]) -> provision.Enrolled:
    """A student with a ping, and others with one each."""
    for one in school:
        guardians.store(database, one.student_id, guardians.ago(minutes=1))
    return school[0]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"{", "malformed_body"),
        (b"\xff", "malformed_body"),
        (b'{"\xff": 1}', "malformed_body"),
        (b"[" * 4000, "bad_body"),
        (b"[]", "bad_body"),
        (b"null", "bad_body"),
        (b'{"hours": 0}', "bad_body"),
        (b'{"hours": -1}', "bad_body"),
        (b'{"hours": 720.1}', "bad_body"),
        (b'{"hours": "24"}', "bad_body"),
        (b'{"hour": 24}', "bad_body"),
        (b'{"ends_at": "2026-01-01T00:00:00Z"}', "bad_body"),
        (b'{"ends_at": "9999-12-31T23:59:59Z"}', "bad_body"),
        (b'{"ends_at": "0001-01-01T00:00:00+14:00"}', "bad_body"),
        (b'{"ends_at": "tomorrow"}', "bad_body"),
        (b'{"ends_at": "2999-01-01T00:00:00"}', "bad_body"),
        (b'{"hours": 1, "ends_at": "2999-01-01T00:00:00Z"}', "bad_body"),
        (b'{"student_id": 2}', "bad_body"),
    ],
)
async def test_an_end_that_makes_no_sense_makes_no_share(
    primary: conftest.Running,
    database: conftest.Database,
    child: provision.Enrolled,
    body: bytes,
    reason: str,
) -> None:
    """400 with the reason, and nothing of the body in the answer."""
    path = f"/v1/students/{child.student_id}/shares"

    answer = await sharers.send(primary, child.viewer_token, "POST", path, data=body)

    assert (answer.status, answer.body["reason"]) == (400, reason)
    assert database.query("SELECT count(*) FROM shares") == [(0,)]


async def test_a_body_that_is_too_long_is_refused(
    primary: conftest.Running, child: provision.Enrolled
) -> None:
    """413, before it is looked at."""
    path = f"/v1/students/{child.student_id}/shares"

    answer = await sharers.send(primary, child.viewer_token, "POST", path, data=b"[" * 5000)

    assert answer.status == 413


async def test_a_body_that_does_not_come_is_not_waited_for(
    database: conftest.Database, start: conftest.Start, child: provision.Enrolled
) -> None:
    """408 within the time that a body may take, and nothing is made."""
    running = await start(database.settings(database_replica_url="", body_timeout_seconds=0.2))
    path = f"/v1/students/{child.student_id}/shares"

    async def slowly() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(60)

    answer = await sharers.send(running, child.viewer_token, "POST", path, data=slowly())

    assert (answer.status, answer.body["reason"]) == (408, "body_timeout")
    assert database.query("SELECT count(*) FROM shares") == [(0,)]


async def test_without_the_primary_there_are_no_shares() -> None:
    """Not now: neither made, listed nor ended, and the caller is told to come again."""
    nobody = await connections.primary_pool(
        "postgresql://127.0.0.1:1/nobody", size=1, timeout_seconds=1
    )
    kept, bearer = shares.Shares(nobody), Bearer(1)

    for question in (kept.add(bearer, 1, HOUR), kept.of_student(bearer, 1), kept.end(bearer, 1)):
        with pytest.raises(errors.DatabaseUnavailableError):
            await question
    nobody.terminate()


async def test_so_many_shares_and_no_more(
    database: conftest.Database, start: conftest.Start, child: provision.Enrolled
) -> None:
    """Also where they are asked for all at once at two services; one that was ended counts for an hour."""
    settings = database.settings(database_replica_url="")
    both = [await start(settings), await start(settings)]
    with db.direct(database.url) as connection:
        _, other = provision.add_viewer(connection, [child.student_id])

    asked = [
        sharers.make(both[number % 2], child.viewer_token, child.student_id)
        for number in range(shares.MOST + 10)
    ]
    answers = await asyncio.gather(*asked)
    made = [one.body["share_id"] for one in answers if one.status == 201]
    refused = {(one.status, one.body["reason"]) for one in answers if one.status != 201}
    path = f"/v1/shares/{made[0]}"
    await sharers.send(both[0], child.viewer_token, "DELETE", path)
    after = await sharers.make(both[0], child.viewer_token, child.student_id)
    others = await sharers.make(both[0], other, child.student_id)
    database.query("UPDATE shares SET created_at = created_at - interval '1 hour'")
    later = [await sharers.make(both[0], child.viewer_token, child.student_id) for _ in range(2)]

    assert len(made) == len(set(made)) == shares.MOST
    assert refused == {(409, "too_many_shares")}
    assert (after.status, others.status) == (409, 201)
    assert [one.status for one in later] == [201, 409]
