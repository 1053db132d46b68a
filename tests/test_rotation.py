"""A device gets a new token while its phone still has the old one; both end when they should."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import AsyncIterator

import psycopg
import pytest

from geoingest import connections, db
from geoingest.access import credentials, passphrases, provision, tokens
from tests import commands, conftest

# As short as a busy machine allows: the old token must be seen to work within it.
OVERLAP = datetime.timedelta(seconds=4)
AT_ONCE = datetime.timedelta()
HOUR = datetime.timedelta(hours=1)


@pytest.fixture
async def pool(database: conftest.Database) -> AsyncIterator[db.Pool]:
    """The pool that credentials are polled with."""
    made = await connections.primary_pool(database.url, size=2, timeout_seconds=5)
    yield made
    made.terminate()


def _rotate(
    database: conftest.Database, device_id: int, overlap: datetime.timedelta
) -> provision.Rotated:
    with db.direct(database.url) as connection:
        return provision.rotate_device(connection, device_id, overlap=overlap)


def _over(database: conftest.Database) -> list[tuple[object, ...]]:
    """The devices whose overlap has ended by the clock of the database."""
    return database.query("SELECT device_id FROM devices WHERE previous_until <= now()")


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


async def test_both_tokens_work_until_the_overlap_ends(
    running: conftest.Running, database: conftest.Database, school: list[provision.Enrolled]
) -> None:
    """The new one within 2 seconds; the old one as long as promised, and at most 5 seconds more."""
    device_id, old = school[0].device_id, school[0].device_token
    await _posted(running, old, 200, seconds=2)

    new = _rotate(database, device_id, OVERLAP).token
    await _posted(running, new, 200, seconds=2)
    both = [await _post(running, one) for one in (old, new)]
    await _posted(running, old, 401, seconds=OVERLAP.seconds + credentials.MAX_AGE_SECONDS)

    assert _over(database) == [(device_id,)], "not before its end"
    assert both == [200, 200]
    assert [await _post(running, one) for one in (old, new)] == [401, 200]
    rows = "SELECT DISTINCT student_id, device_id FROM geolocation_data"
    assert database.query(rows) == [(school[0].student_id, device_id)]


async def test_the_clock_of_the_database_ends_it_on_every_process(
    database: conftest.Database, pool: db.Pool, school: list[provision.Enrolled]
) -> None:
    """Also where the process's own clock stands still, and nothing in the table changes."""
    old = tokens.digest(school[0].device_token)
    # One that was there before, one that starts during the overlap, one that starts after it.
    before, during, after = (credentials.Credentials(pool, now=lambda: 0.0) for _ in range(3))
    await before.refresh()
    new = tokens.digest(_rotate(database, school[0].device_id, OVERLAP).token)
    _rotate(database, school[1].device_id, HOUR)
    for one in (before, during):
        await one.refresh()
    both = [one.sender(digest) for one in (before, during) for digest in (old, new)]

    await conftest.until(lambda: _over(database) == [(school[0].device_id,)])
    for one in (before, during, after):
        await one.refresh()

    assert both == [(school[0].device_id, school[0].student_id)] * 4
    for one in (before, during, after):
        assert one.sender(old) is None
        assert one.sender(new) == (school[0].device_id, school[0].student_id)
        assert one.sender(tokens.digest(school[1].device_token)) is not None


async def test_to_rotate_again_ends_the_oldest_at_once(
    database: conftest.Database, pool: db.Pool, school: list[provision.Enrolled]
) -> None:
    """There is one token before at a time."""
    list_of_tokens = credentials.Credentials(pool)
    first, device_id = school[0].device_token, school[0].device_id
    second, third = (_rotate(database, device_id, HOUR).token for _ in range(2))

    await list_of_tokens.refresh()

    found = [list_of_tokens.sender(tokens.digest(one)) for one in (first, second, third)]
    sender = (device_id, school[0].student_id)
    assert found == [None, sender, sender]


async def test_no_overlap_ends_the_old_one_at_once(
    database: conftest.Database, pool: db.Pool, school: list[provision.Enrolled]
) -> None:
    """With the next poll; so does the end of an overlap that is left out the second time."""
    list_of_tokens = credentials.Credentials(pool)
    await list_of_tokens.refresh()
    first, device_id = school[0].device_token, school[0].device_id

    second = _rotate(database, device_id, HOUR).token
    third, until = _rotate(database, device_id, AT_ONCE)
    await list_of_tokens.refresh()

    found = [list_of_tokens.sender(tokens.digest(one)) for one in (first, second, third)]
    assert found == [None, None, (device_id, school[0].student_id)]
    assert until is None


async def test_a_revoked_device_has_neither_token(
    running: conftest.Running, database: conftest.Database, school: list[provision.Enrolled]
) -> None:
    """Both are 401 within 5 seconds, and it gets no new one."""
    device_id, old = school[0].device_id, school[0].device_token
    new = _rotate(database, device_id, HOUR).token
    for one in (old, new):
        await _posted(running, one, 200, seconds=2)

    with db.direct(database.url) as connection:
        provision.revoke_device(connection, device_id)
    async with asyncio.timeout(credentials.MAX_AGE_SECONDS):
        for one in (old, new):
            await _posted(running, one, 401, seconds=credentials.MAX_AGE_SECONDS)

    with pytest.raises(provision.UnknownDeviceError):
        _rotate(database, device_id, HOUR)


async def test_secrets_follow_the_poll(
    database: conftest.Database, pool: db.Pool, school: list[provision.Enrolled]
) -> None:
    """A device's key comes with it, outlives a rotation, and goes with its revocation."""
    list_of_tokens = credentials.Credentials(pool)
    await list_of_tokens.refresh()
    key = passphrases.owntracks_key(passphrases.create())
    with db.direct(database.url) as connection:
        device_id, _ = provision.add_device(connection, 1, owntracks_key=key)

        found = []
        for change in (
            lambda: None,
            lambda: provision.rotate_device(connection, device_id, overlap=HOUR),
            lambda: provision.revoke_device(connection, device_id),
        ):
            change()
            await list_of_tokens.refresh()
            found.append(list_of_tokens.secret(device_id))

    assert found == [key, key, None]
    assert list_of_tokens.secret(school[0].device_id) is None
    kept = "SELECT count(*) FROM devices WHERE owntracks_key IS NOT NULL"
    assert database.query(kept) == [(0,)], "no dump needs the key of a revoked device"


def test_a_passphrase_can_be_typed() -> None:
    """Small letters that fit OwnTracks' 32 bytes, never twice the same."""
    made = {passphrases.create() for _ in range(100)}

    assert len(made) == 100
    assert all(len(one) == 30 and one.isascii() and one.islower() for one in made)
    assert passphrases.owntracks_key("geheim") == b"geheim" + bytes(26)


def test_rotate_prints_the_new_token(
    database: conftest.Database, school: list[provision.Enrolled]
) -> None:
    """Id and token on stdout and nothing else; the end of the overlap on stderr; only digests are kept."""
    device = str(school[0].device_id)

    results = [
        commands.run("device", "rotate", device, *options, database=database)
        for options in ([], ["--overlap", "90s"], ["--overlap", "0s"])
    ]

    assert [one.exit_code for one in results] == [0, 0, 0]
    printed = [one.stdout.removesuffix("\n").split("\t") for one in results]
    kept = str(database.query("SELECT devices::text FROM devices"))
    for number, token in printed:
        assert number == device
        assert token.startswith("gi_dev_")
        assert token[-40:] not in kept
        assert token[-40:].encode().hex() not in kept
    digest = "SELECT token_digest, previous_digest FROM devices WHERE device_id = $1"
    assert database.query(digest, school[0].device_id) == [(tokens.digest(printed[-1][1]), None)]
    ends_at = datetime.datetime.strptime(
        results[0].stderr, "the token before works until %Y-%m-%dT%H:%M:%S%z\n"
    )
    week = ends_at - datetime.datetime.now(datetime.UTC)
    assert abs(week - datetime.timedelta(days=7)) < datetime.timedelta(minutes=1)
    assert results[2].stderr == "the token before stops working within 5 seconds\n"


@pytest.mark.parametrize("revoked", [False, True])
def test_a_device_that_is_not_there_cannot_be_rotated(
    database: conftest.Database, school: list[provision.Enrolled], *, revoked: bool
) -> None:
    """Exit 1 with its number, and no token that nobody could use."""
    device = str(school[0].device_id) if revoked else "4711"
    if revoked:
        commands.run("device", "revoke", device, database=database)

    result = commands.run("device", "rotate", device, database=database)

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"geoingest: there is no device {device}, or it is revoked\n"


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ("previous_digest = token_digest, previous_until = now()", "previous_token_is_another"),
        ("previous_digest = sha256('a'), previous_until = NULL", "previous_token_ends"),
        ("previous_digest = NULL, previous_until = now()", "previous_token_ends"),
        ("previous_digest = 'short', previous_until = now()", "previous_token_is_sha256"),
        ("previous_digest = sha256('of another'), previous_until = now()", "previous_token_is_unique"),
        ("owntracks_key = '31 bytes are not enough for it.'", "owntracks_key_is_32_bytes"),
    ],
)  # fmt: skip
def test_the_table_refuses(
    database: conftest.Database, school: list[provision.Enrolled], change: str, rule: str
) -> None:
    """What neither rotation nor revocation could have written, whoever writes it."""
    database.query(
        "UPDATE devices SET previous_digest = sha256('of another'), previous_until = now()"
        " WHERE device_id = $1",
        school[1].device_id,
    )

    with pytest.raises(psycopg.errors.IntegrityError) as refused:
        database.query(
            f"UPDATE devices SET {change} WHERE device_id = $1",  # noqa: S608  # from above
            school[0].device_id,
        )

    assert refused.value.diag.constraint_name == rule
