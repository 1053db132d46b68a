"""However a session ends, it has ended on every process at once."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import pytest

from geoingest.access import provision
from tests import accounts, commands, conftest, guardians, processes

DAY = datetime.timedelta(days=1)
NEW = "nine small boats at sea"


@pytest.fixture
def account(database: conftest.Database, school: list[provision.Enrolled]) -> accounts.Account:
    """A guardian who can log in."""
    return accounts.add(database, school[0])


class _Two:
    """Two processes that both know a session, and clients of them."""

    def __init__(self, clients: list[aiohttp.ClientSession], account: accounts.Account) -> None:
        self.first, self.second = clients
        self._account = account
        self.token = ""

    async def warm(self) -> None:
        """A new session, used on both."""
        self.token = await accounts.token(self.first)
        assert await self.statuses() == [200, 200]

    async def statuses(self, token: str | None = None) -> list[int]:
        """What each process answers to a look by it."""
        clients = (self.first, self.second)
        return [await accounts.sees(one, token or self.token, self._account) for one in clients]


@contextlib.asynccontextmanager
async def _two(
    database: conftest.Database, account: accounts.Account, module: str = "geoingest"
) -> AsyncIterator[_Two]:
    async with (
        processes.serving(database, module=module) as first,
        processes.serving(database, module=module) as second,
        aiohttp.ClientSession(first.url) as one,
        aiohttp.ClientSession(second.url) as other,
    ):
        made = _Two([one, other], account)
        await made.warm()
        yield made


async def _log_out(two: _Two) -> None:
    answer = await accounts.ask(two.second, two.token, "/v1/logout", method="POST")
    assert (answer.status, answer.raw) == (204, b"")


async def test_a_session_that_ends_has_ended_everywhere_at_once(
    database: conftest.Database, account: accounts.Account, subtests: pytest.Subtests
) -> None:
    """Two processes have used it a moment ago; the very next look is refused by both."""

    async def log_out_everywhere(two: _Two) -> None:
        answer = await accounts.ask(two.second, two.token, "/v1/sessions", method="DELETE")
        assert answer.status == 204

    async def by_command(two: _Two) -> None:
        ended = commands.run("viewer", "logout", str(account.viewer_id), database=database)
        assert (ended.exit_code, ended.stdout) == (0, "")

    async def by_the_command_for_all(two: _Two) -> None:
        assert commands.run("viewer", "logout", "--all", database=database).exit_code == 0

    async def absolutely(two: _Two) -> None:
        database.query("UPDATE sessions SET ends_at = now()")

    async def unused(two: _Two) -> None:
        database.query("UPDATE sessions SET used_at = used_at - $1::interval", 7 * DAY)

    async def with_its_viewer(two: _Two) -> None:
        database.query("UPDATE viewers SET revoked_at = now() WHERE email IS NOT NULL")

    ends: list[Callable[[_Two], Awaitable[None]]] = [
        *(_log_out, log_out_everywhere, by_command, by_the_command_for_all),
        *(absolutely, unused, with_its_viewer),
    ]
    async with _two(database, account) as two:
        for end in ends:
            with subtests.test(end.__name__):
                await two.warm()
                await end(two)

                assert await two.statuses() == [401, 401]
                again = await accounts.ask(two.first, two.token, "/v1/sessions")
                assert again.status == 401


async def test_the_check_finds_a_service_that_keeps_the_session(
    database: conftest.Database, account: accounts.Account
) -> None:
    """A build that only forgets what it knows does not pass the same check."""
    async with _two(database, account, "tests.broken.keeps_sessions") as two:
        await _log_out(two)

        assert await two.statuses() == [200, 200]


async def test_other_sessions_go_on(
    running: conftest.Running, database: conftest.Database, school: list[provision.Enrolled]
) -> None:
    """Of the same viewer, when one ends; of others, when all of one's end. Tokens without a session last."""
    kim, sam = (
        accounts.add(database, student, email=email)
        for student, email in zip(school, ("kim@example.org", "sam@example.org"), strict=False)
    )
    phone, laptop = [await accounts.token(running.client, kim.email) for _ in range(2)]
    other = await accounts.token(running.client, sam.email)

    async def statuses() -> list[int]:
        looks = ((phone, kim), (laptop, kim), (other, sam), (school[0].viewer_token, kim))
        return [await accounts.sees(running.client, token, one) for token, one in looks]

    before = await statuses()
    await accounts.ask(running.client, phone, "/v1/logout", method="POST")
    one_less = await statuses()
    await accounts.ask(running.client, laptop, "/v1/sessions", method="DELETE")

    assert before == [200, 200, 200, 200]
    assert one_less == [401, 200, 200, 200]
    assert await statuses() == [401, 401, 200, 200]


async def test_a_session_that_is_used_lasts_to_its_end(
    running: conftest.Running, database: conftest.Database, account: accounts.Account
) -> None:
    """Each look moves the end for want of use, to a minute; nothing moves the last one."""
    token = await accounts.token(running.client)
    for _ in range(4):
        database.query("UPDATE sessions SET used_at = used_at - $1::interval", 6 * DAY)
        assert await accounts.sees(running.client, token, account) == 200

    ((used_at, ends_at),) = database.query("SELECT used_at, ends_at FROM sessions")

    assert datetime.datetime.now(datetime.UTC) - used_at < datetime.timedelta(minutes=1)  # type: ignore[operator]  # an instant
    assert ends_at - guardians.NOW < 31 * DAY  # type: ignore[operator]  # an instant


async def test_settings_make_sessions_shorter(
    database: conftest.Database, start: conftest.Start, account: accounts.Account
) -> None:
    """How long they last, and how long without being used."""
    running = await start(database.settings(session_days=2, session_idle_days=1))
    answer = await accounts.log_in(running.client)

    kept = database.query("SELECT ends_at - created_at, idle_seconds FROM sessions")

    assert kept == [(2 * DAY, 24 * 3600)]
    lasts = guardians.instant(answer.body, "expires_at") - guardians.NOW
    assert datetime.timedelta(hours=47) < lasts < datetime.timedelta(hours=49)


async def test_ones_own_sessions_are_listed(
    running: conftest.Running, database: conftest.Database, school: list[provision.Enrolled]
) -> None:
    """The newest first, with the one that asks, without a token; nobody else's, none that has ended."""
    kim, sam = (
        accounts.add(database, student, email=email)
        for student, email in zip(school, ("kim@example.org", "sam@example.org"), strict=False)
    )
    ended = await accounts.token(running.client, kim.email)
    database.query("UPDATE sessions SET used_at = used_at - $1::interval", 8 * DAY)
    phone, laptop = [await accounts.token(running.client, kim.email) for _ in range(2)]
    await accounts.token(running.client, sam.email)

    answer = await accounts.ask(running.client, phone, "/v1/sessions")
    by_token = await accounts.ask(running.client, school[0].viewer_token, "/v1/sessions")

    found = answer.body["sessions"]
    assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-store")
    assert [one["this"] for one in found] == [False, True]
    assert set(found[0]) == {"session_id", "created_at", "used_at", "ends_at", "this"}
    assert not any(token in answer.raw.decode() for token in (ended, phone, laptop))
    assert [one["this"] for one in by_token.body["sessions"]] == [False, False]


async def test_nobody_without_a_session_ends_one(
    running: conftest.Running, database: conftest.Database, school: list[provision.Enrolled]
) -> None:
    """Not by a share, a device's token, a guess or none; and by a viewer's own token only all of that viewer's."""
    account = accounts.add(database, school[0])
    token = await accounts.token(running.client)
    share = b"\x01" * 32
    database.query(
        "INSERT INTO shares (student_id, viewer_id, token_digest, ends_at)"
        " VALUES ($1, $2, sha256($3), now() + interval '1 day')",
        account.student_id,
        account.viewer_id,
        b"gi_share_x",
    )
    assert await accounts.sees(running.client, "gi_share_x", account) == 200
    strangers = ["gi_share_x", school[0].device_token, "gi_ses_guess", "", share.hex()]
    asked = [("POST", "/v1/logout"), ("GET", "/v1/sessions"), ("DELETE", "/v1/sessions")]

    answers = [
        await accounts.ask(running.client, stranger, path, method=method)
        for stranger in strangers
        for method, path in asked
    ]
    no_session = await accounts.ask(
        running.client, school[0].viewer_token, "/v1/logout", method="POST"
    )

    assert {(one.status, one.raw) for one in [*answers, no_session]} == {
        (401, answers[0].raw),
    }
    assert await accounts.sees(running.client, token, account) == 200


async def test_a_logged_out_session_cannot_be_logged_out(
    running: conftest.Running, account: accounts.Account
) -> None:
    """401, as for whoever never had one."""
    token = await accounts.token(running.client)

    statuses = [
        (await accounts.ask(running.client, token, "/v1/logout", method="POST")).status
        for _ in range(2)
    ]

    assert statuses == [204, 401]


async def _change(
    running: conftest.Running, token: str, old: str, new: str
) -> tuple[int, str | None]:
    answer = await accounts.ask(
        running.client,
        token,
        "/v1/password",
        method="POST",
        json={"old_password": old, "new_password": new},
    )
    return answer.status, answer.body["reason"] if answer.raw else None


async def test_ones_own_password_is_changed(
    running: conftest.Running, account: accounts.Account
) -> None:
    """By who has a session and knows the old one; all other sessions end, and the old one is no good."""
    mine, other = [await accounts.token(running.client) for _ in range(2)]

    wrong = await _change(running, mine, NEW, NEW)
    weak = await _change(running, mine, accounts.PASSWORD, "short")
    changed = await _change(running, mine, accounts.PASSWORD, NEW)

    assert wrong == (401, "wrong_credentials")
    assert weak == (400, "bad_password")
    assert changed == (204, None)
    looks = [await accounts.sees(running.client, one, account) for one in (mine, other)]
    logins = [
        (await accounts.log_in(running.client, password=one)).status
        for one in (accounts.PASSWORD, NEW)
    ]
    assert (looks, logins) == ([200, 401], [401, 200])


async def test_a_stolen_session_guesses_no_password(
    running: conftest.Running, school: list[provision.Enrolled], account: accounts.Account
) -> None:
    """Wrong old passwords count as failures to log in, and without a session there is none to change."""
    token = await accounts.token(running.client)

    guesses = [await _change(running, token, f"guess number {one}", NEW) for one in range(6)]
    by_token = await _change(running, school[0].viewer_token, accounts.PASSWORD, NEW)

    assert guesses == [(401, "wrong_credentials")] * 5 + [(429, "too_many_logins")]
    assert by_token == (401, "unauthenticated")
