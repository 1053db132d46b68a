"""The issuer's keys are fetched once for all who wait, heeded when they change, and trusted for a while without it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from aiohttp import web

from geoingest import errors, metrics
from geoingest.access import issuer, jwks, keyring
from tests import conftest, issuers

ALGORITHMS = ("RS256", "ES256", "EdDSA")
RSA, NEW = jwks.Name("rsa", "RS256"), jwks.Name("new", "RS256")


@pytest.fixture
async def signer() -> AsyncIterator[issuers.Issuer]:
    """An issuer that answers."""
    async with issuers.running() as made:
        yield made


class _Ring:
    """A keyring at work on a real issuer, its clock moved by hand."""

    def __init__(self, session: Any, signer: issuers.Issuer) -> None:
        self.seconds = 1000.0
        fetch = issuer.Issuer(session, signer.url, keys_url="").keys
        self.keys = keyring.Keyring(fetch, ALGORITHMS, now=lambda: self.seconds)

    async def ask(self, name: jwks.Name) -> str:
        """What becomes of a token that names this key."""
        try:
            await self.keys.find(name)
        except errors.HttpError as exc:
            return exc.reason
        return "found"


@contextlib.asynccontextmanager
async def _at_work(signer: issuers.Issuer) -> AsyncIterator[_Ring]:
    async with issuer.session() as session:
        ring = _Ring(session, signer)
        task = asyncio.create_task(ring.keys.run())
        try:
            yield ring
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


def _fetched(outcome: str) -> float:
    value = metrics.REGISTRY.get_sample_value(
        "geoingest_issuer_fetches_total", {"outcome": outcome}
    )
    return value or 0.0


async def test_names_that_are_made_up_move_nobody(signer: issuers.Issuer) -> None:
    """One fetch for the first of them, none for the next until half a minute is over, then one for all."""
    async with _at_work(signer) as ring:
        assert await ring.ask(RSA) == "found"
        at_once = [await ring.ask(jwks.Name(f"made up {one}", "RS256")) for one in range(50)]
        assert signer.fetches == 1

        ring.seconds += keyring.QUIET_SECONDS
        names = [jwks.Name(f"made up {one}", "RS256") for one in range(100)]
        later = await asyncio.gather(*(ring.ask(one) for one in names))
        again = [await ring.ask(one) for one in names]

    assert {*at_once, *later, *again} == {"unauthenticated"}
    assert signer.fetches == 2


async def test_a_new_key_is_found_and_a_withdrawn_one_forgotten(signer: issuers.Issuer) -> None:
    """A token that names a new key brings the news of both."""
    async with _at_work(signer) as ring:
        assert await ring.ask(RSA) == "found"
        signer.published = [issuers.jwk(issuers.OTHER_RSA, "new", "RS256")]
        ring.seconds += keyring.QUIET_SECONDS

        assert await ring.ask(NEW) == "found"
        assert await ring.ask(RSA) == "unauthenticated"

    assert signer.fetches == 2


async def test_known_keys_go_on_for_an_hour_without_the_issuer(signer: issuers.Issuer) -> None:
    """New ones are 503 meanwhile; after it all are, because a key may have been withdrawn; then it is well again."""
    async with _at_work(signer) as ring:
        assert await ring.ask(RSA) == "found"
        signer.answer = web.Response(status=500)
        ring.seconds += keyring.STALE_SECONDS - 1
        away = [await ring.ask(one) for one in (RSA, NEW, RSA)]
        ring.seconds += 1
        stale = await ring.ask(RSA)

        signer.answer = None
        ring.seconds += keyring.QUIET_SECONDS
        well = [await ring.ask(one) for one in (RSA, NEW)]

    assert away == ["found", "issuer_away", "found"]
    assert stale == "issuer_away"
    assert well == ["found", "unauthenticated"]


async def test_an_issuer_that_comes_back_is_met_without_a_token(signer: issuers.Issuer) -> None:
    """Nobody needs to ask: it is tried again by itself, ever more slowly."""
    signer.answer = web.Response(status=500)
    async with _at_work(signer) as ring:
        await conftest.until(lambda: signer.fetches == 1)
        signer.answer = None
        await conftest.until(lambda: signer.fetches == 2)

        assert await ring.ask(RSA) == "found"


async def test_who_waits_and_leaves_takes_no_other_along(signer: issuers.Issuer) -> None:
    """A question that is cancelled while the issuer is slow harms neither the fetch nor the others."""
    signer.gate.clear()
    async with _at_work(signer) as ring:
        asked = [asyncio.create_task(ring.ask(RSA)) for _ in range(3)]
        await conftest.until(lambda: signer.fetches == 1)
        asked[0].cancel()
        await asyncio.sleep(0)
        signer.gate.set()

        assert await asyncio.gather(*asked[1:]) == ["found", "found"]

    assert asked[0].cancelled()
    assert signer.fetches == 1


@pytest.mark.parametrize(
    ("outcome", "answer"),
    [
        ("status", web.Response(status=404)),
        ("status", web.Response(status=302, headers={"Location": "/keys"})),
        ("malformed", web.Response(body=b"\xff")),
        ("malformed", web.Response(body=b"[]")),
        ("malformed", web.Response(body=b"[" * 100_000)),
        ("malformed", web.Response(body=b'{"keys": {}}')),
        ("too_large", web.Response(body=b"{" + b" " * issuer.MOST_BYTES)),
    ],
)
async def test_what_is_no_set_of_keys_changes_nothing(
    signer: issuers.Issuer, outcome: str, answer: web.Response
) -> None:
    """Also one that leads elsewhere, and one without an end: it is as if the issuer were away."""
    before = _fetched(outcome)
    signer.answer = answer
    async with _at_work(signer) as ring:
        assert await ring.ask(RSA) == "issuer_away"

    assert _fetched(outcome) == before + 1
    assert signer.fetches == 1


@pytest.mark.parametrize(
    "discovery",
    [
        {"issuer": "https://elsewhere.example.org"},
        {"jwks_uri": "http://elsewhere.example.org/keys"},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": "http://[::1"},
    ],
)
async def test_a_discovery_that_leads_astray_is_not_followed(
    signer: issuers.Issuer, discovery: dict[str, str]
) -> None:
    """It must be the issuer's own, and the way to the keys one on which nobody can put in others."""
    signer.discovery = discovery
    async with _at_work(signer) as ring:
        assert await ring.ask(RSA) == "issuer_away"

    assert signer.fetches == 0


async def test_an_issuer_that_hangs_is_given_up(signer: issuers.Issuer) -> None:
    """A port at which nobody listens is unreachable, one that says nothing a timeout: both are bounded."""
    signer.gate.clear()
    async with issuer.session() as session:
        nobody = issuer.Issuer(session, "http://127.0.0.1:9", keys_url="")
        with pytest.raises(issuer.NoAnswerError, match="unreachable"):
            await nobody.keys()
        slow = issuer.Issuer(session, signer.url, keys_url="")
        with pytest.raises(issuer.NoAnswerError, match="timeout"):
            await slow.keys(patience_seconds=0.2)

    assert signer.fetches == 1


def _jwks() -> Iterator[tuple[dict[str, Any], set[jwks.Name]]]:
    good = issuers.jwk(issuers.RSA, "rsa", None)
    yield {**good, "alg": None}, {jwks.Name("rsa", one) for one in ("RS256",)}
    yield {**good, "alg": "RS512"}, set()
    yield {**good, "alg": "ES256"}, set()
    yield {**good, "alg": "HS256"}, set()
    yield {**good, "use": "enc"}, set()
    yield {**good, "use": None, "key_ops": ["encrypt"]}, set()
    yield {**good, "use": None, "key_ops": ["verify"]}, {RSA}
    yield {**good, "n": "!"}, set()
    yield {**good, "n": None}, set()
    yield {**good, "kid": 7}, set()
    yield {**good, "d": "AQAB", "p": "AQAB"}, {RSA}
    yield {**good, "kid": None}, {jwks.Name(None, "RS256")}
    yield issuers.jwk(issuers.SHORT_RSA, "rsa", "RS256"), set()
    yield issuers.jwk(issuers.EC, "ec", None), {jwks.Name("ec", "ES256")}
    yield {**issuers.jwk(issuers.EC, "ec", None), "crv": "P-384"}, set()
    yield {**issuers.jwk(issuers.EC, "ec", None), "crv": "secp256k1"}, set()
    yield issuers.jwk(issuers.ED, "ed", None), {jwks.Name("ed", "EdDSA")}
    yield {"kty": "oct", "kid": "secret", "k": "AAAA", "alg": "HS256"}, set()
    yield {"kid": "without a type"}, set()


def test_a_key_verifies_what_its_type_fits_and_nothing_else(subtests: pytest.Subtests) -> None:
    """Not what its token says; secrets, short keys and those for other uses verify nothing, and harm no neighbour."""
    neighbour = issuers.jwk(issuers.OTHER_RSA, "neighbour", "RS256")
    for published, expected in _jwks():
        with subtests.test(**published):
            body = web.json_response({"keys": [published, neighbour]}).body

            found = jwks.usable(jwks.read(bytes(body)), ALGORITHMS)  # type: ignore[arg-type]  # bytes

            assert set(found) == {jwks.Name("neighbour", "RS256"), *expected}


def test_a_token_that_names_no_key_means_the_only_one() -> None:
    """Of two that fit it means none: to try each would be to guess."""
    one, two = (
        issuers.jwk(issuers.RSA, "one", "RS256"),
        issuers.jwk(issuers.OTHER_RSA, "two", "RS256"),
    )
    other = issuers.jwk(issuers.EC, "three", "ES256")

    def found(*published: dict[str, Any]) -> object:
        body = bytes(web.json_response({"keys": list(published)}).body)  # type: ignore[arg-type]  # bytes
        return jwks.find(jwks.usable(jwks.read(body), ALGORITHMS), jwks.Name(None, "RS256"))

    assert found(one, other) is not None
    assert found(one, two, other) is None
    assert found(other) is None
