"""Who fails often waits, on every process and after every restart; but nobody locks out anybody else."""

from __future__ import annotations

import asyncio
import contextlib

import aiohttp
import pytest

from geoingest import metrics
from geoingest.access import provision, throttle
from tests import accounts, conftest, processes

FREE, MOST = throttle.ACCOUNT
# Documentation's own networks: a household's, and those of strangers.
HOME = "192.0.2.7"
PROXIED = {"GEOINGEST_TRUSTED_PROXIES": "127.0.0.0/8"}


@pytest.fixture
def account(database: conftest.Database, school: list[provision.Enrolled]) -> accounts.Account:
    """A guardian who can log in."""
    return accounts.add(database, school[0])


@pytest.fixture
async def proxied(database: conftest.Database, start: conftest.Start) -> conftest.Running:
    """A service behind a proxy, so that a test can come from anywhere."""
    return await start(database.settings(trusted_proxies="127.0.0.0/8"))


def _stranger(number: int) -> str:
    return f"198.51.100.{number}"


async def _guess(
    client: accounts.Client, *, at: str, times: int, email: str = accounts.EMAIL
) -> list[int]:
    """One wrong password after the other."""
    return [
        (await accounts.log_in(client, email, f"guess number {number}", at=at)).status
        for number in range(times)
    ]


async def test_waits_double_up_to_a_minute(
    proxied: conftest.Running, database: conftest.Database, account: accounts.Account
) -> None:
    """Five failures are free; then a second, two, four, and never more than a minute. None costs a hash."""
    waits: list[int] = []
    assert await _guess(proxied.client, at=HOME, times=FREE) == [401] * FREE
    for _ in range(9):
        before = metrics.password_duration._sum.get()
        refused = await accounts.log_in(proxied.client, at=HOME)
        assert (refused.status, refused.body["reason"]) == (429, "too_many_logins")
        assert metrics.password_duration._sum.get() == before
        waits.append(int(refused.headers["Retry-After"]))
        # The wait is over; each minute one failure would be forgotten.
        accounts.failed(database, seconds=waits[-1] - 0.5)
        still = await accounts.log_in(proxied.client, at=HOME)
        accounts.failed(database, seconds=0.5)
        assert still.status == 429
        assert await _guess(proxied.client, at=HOME, times=1) == [401]

    assert waits == [1, 2, 4, 8, 16, 32, MOST, MOST, MOST]


async def test_a_failure_is_forgotten_each_minute(
    proxied: conftest.Running, database: conftest.Database, account: accounts.Account
) -> None:
    """After a quiet while there are as many free tries as before."""
    await _guess(proxied.client, at=HOME, times=FREE)
    accounts.failed(database, minutes=3)
    some = await _guess(proxied.client, at=HOME, times=4)
    accounts.failed(database, minutes=60)
    all_of_them = await _guess(proxied.client, at=HOME, times=FREE + 1)

    assert some == [401, 401, 401, 429]
    assert all_of_them == [401] * FREE + [429]


async def test_logging_in_forgives_the_account(
    proxied: conftest.Running, database: conftest.Database, account: accounts.Account
) -> None:
    """Who remembers it at the last try begins anew; the address is not forgiven."""
    await _guess(proxied.client, at=HOME, times=FREE - 1)
    right = await accounts.log_in(proxied.client, at=HOME)
    again = await _guess(proxied.client, at=HOME, times=FREE + 1)

    key = throttle.keys(accounts.EMAIL, HOME).address
    kept = database.query("SELECT failures FROM login_failures WHERE throttle_key = $1", key)
    assert right.status == 200
    assert again == [401] * FREE + [429]
    assert kept == [(2 * FREE - 1,)]


async def test_no_stranger_locks_anybody_out(
    proxied: conftest.Running, account: accounts.Account
) -> None:
    """However long it is guessed at, the right password is let in from where it did not fail before."""
    statuses = await _guess(proxied.client, at=_stranger(1), times=50)
    stranger = await accounts.log_in(proxied.client, at=_stranger(1))
    at_home = await accounts.log_in(proxied.client, at=HOME)

    assert statuses == [401] * FREE + [429] * 45
    assert stranger.status == 429
    assert at_home.status == 200


async def test_many_addresses_have_one_guess_each(
    proxied: conftest.Running, account: accounts.Account
) -> None:
    """Once the account is held up, whoever comes from elsewhere has a single try a day, at once or not."""
    await _guess(proxied.client, at=_stranger(1), times=FREE)
    one_each = [await _guess(proxied.client, at=_stranger(one), times=3) for one in range(2, 6)]
    at_once = await asyncio.gather(
        *(_guess(proxied.client, at=_stranger(9), times=1) for _ in range(3))
    )

    assert one_each == [[401, 429, 429]] * 4
    assert sorted(at_once) == [[401], [429], [429]]


async def test_of_many_at_once_one_has_the_turn(
    proxied: conftest.Running, database: conftest.Database, account: accounts.Account
) -> None:
    """When the wait is over not everybody who has waited guesses."""
    await _guess(proxied.client, at=HOME, times=FREE)
    accounts.failed(database, seconds=2)

    at_once = await asyncio.gather(*(_guess(proxied.client, at=HOME, times=1) for _ in range(3)))

    assert sorted(at_once) == [[401], [429], [429]]


async def test_an_address_waits_whatever_the_account(
    proxied: conftest.Running, account: accounts.Account
) -> None:
    """Fifty accounts guessed at once each from one address; an account of one's own does not help."""
    free = throttle.ADDRESS.free
    statuses = [
        status
        for number in range(free + 1)
        for status in await _guess(
            proxied.client, at=HOME, times=1, email=f"child{number}@example.org"
        )
    ]
    own = await accounts.log_in(proxied.client, at=HOME)
    elsewhere = await accounts.log_in(proxied.client, at=_stranger(1))

    assert statuses == [401] * free + [429]
    assert (own.status, elsewhere.status) == (429, 200)
    assert int(own.headers["Retry-After"]) <= throttle.ADDRESS.most_seconds


async def test_whoever_is_not_there_is_held_up_alike(
    proxied: conftest.Running, account: accounts.Account
) -> None:
    """The same answers in the same order, to the byte."""
    answers = [
        [await accounts.log_in(proxied.client, email, "guess", at=address) for _ in range(FREE + 1)]
        for email, address in ((accounts.EMAIL, HOME), (accounts.STRANGER, _stranger(1)))
    ]

    known, unknown = ([(one.status, one.raw) for one in some] for some in answers)
    assert known == unknown
    assert {one[-1].headers["Retry-After"] for one in answers} == {"1"}


async def test_without_a_proxy_nobody_chooses_an_address(
    running: conftest.Running, account: accounts.Account
) -> None:
    """X-Forwarded-For is what anybody can write."""
    statuses = [
        status
        for number in range(FREE + 2)
        for status in await _guess(running.client, at=_stranger(number), times=1)
    ]

    assert statuses == [401] * FREE + [429, 429]


async def _across(database: conftest.Database, module: str) -> list[int]:
    """Guesses at two processes in turn, and then at one that has just started."""
    statuses: list[int] = []
    async with contextlib.AsyncExitStack() as stack:
        services = [
            await stack.enter_async_context(processes.serving(database, module=module, **PROXIED))
            for _ in range(2)
        ]
        clients = [
            await stack.enter_async_context(aiohttp.ClientSession(one.url)) for one in services
        ]
        for number in range(FREE + 1):
            statuses += await _guess(clients[number % 2], at=HOME, times=1)
    async with (
        processes.serving(database, module=module, **PROXIED) as service,
        aiohttp.ClientSession(service.url) as client,
    ):
        # Only that the wait lasted as long as the restart is left out.
        database.query("UPDATE login_failures SET failures = failures + 6, failed_at = now()")
        statuses += await _guess(client, at=HOME, times=1)
    return statuses


async def test_waits_hold_across_processes_and_restarts(
    database: conftest.Database, account: accounts.Account
) -> None:
    """What failed at one counts at the other, and at the next."""
    assert await _across(database, "geoingest") == [401] * FREE + [429, 429]


async def test_the_check_finds_a_service_that_counts_by_itself(
    database: conftest.Database, account: accounts.Account
) -> None:
    """A build that counts in its own memory does not pass the same check."""
    assert await _across(database, "tests.broken.forgetful_throttle") == [401] * (FREE + 2)


async def test_a_new_password_ends_the_wait(
    proxied: conftest.Running, database: conftest.Database, account: accounts.Account
) -> None:
    """Whoever asked an operator for one need not wait for it."""
    await _guess(proxied.client, at=HOME, times=FREE)
    before = await accounts.log_in(proxied.client, at=HOME)
    accounts.set_password(database, account)

    assert (before.status, (await accounts.log_in(proxied.client, at=HOME)).status) == (429, 200)


async def test_of_e_mail_and_address_only_digests_are_kept(
    proxied: conftest.Running, database: conftest.Database, account: accounts.Account
) -> None:
    """A row each for account, address and both, of 32 bytes."""
    await _guess(proxied.client, at=HOME, times=1)

    kept = database.query("SELECT throttle_key FROM login_failures ORDER BY 1")
    assert [bytes(key) for (key,) in kept] == sorted(throttle.keys(accounts.EMAIL, HOME))  # type: ignore[call-overload]  # bytea


async def test_nobody_logs_in_all_the_time(
    database: conftest.Database, start: conftest.Start, account: accounts.Account
) -> None:
    """Also with the right password, which costs as much; elsewhere the same account is not held up."""
    settings = database.settings(trusted_proxies="127.0.0.0/8", logins_per_second=0.3)
    running = await start(settings)
    before = metrics.password_duration._sum.get()

    answers = [await accounts.log_in(running.client, at=HOME) for _ in range(3)]
    cost = metrics.password_duration._sum.get()
    over = await accounts.log_in(running.client, at=HOME)
    free = metrics.password_duration._sum.get()
    elsewhere = await accounts.log_in(running.client, at=_stranger(1))

    assert [one.status for one in [*answers, over, elsewhere]] == [200, 200, 200, 429, 200]
    assert over.body["reason"] == "too_many_logins"
    assert 1 <= int(over.headers["Retry-After"]) <= 4
    assert before < cost == free
