"""A token that the platform's issuer signed for us lets a viewer in; nothing else that looks like one does."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import hypothesis
import hypothesis.strategies as st
import jwt
import pytest

from geoingest import connections, db, errors, http
from geoingest.access import bearers, issuer, jwks, keyring, platform, provision
from tests import conftest, forgeries, guardians, issuers, processes

SUBJECT = "person-4711"
TERMS = platform.Terms("https://id.example.org", issuers.AUDIENCE, ("RS256", "ES256", "EdDSA"))


@pytest.fixture
async def signer() -> AsyncIterator[issuers.Issuer]:
    """An issuer that answers."""
    async with issuers.running() as made:
        yield made


@pytest.fixture
def child(database: conftest.Database, school: list[provision.Enrolled]) -> provision.Enrolled:
    """A student with a ping, whose guardian the platform knows by a name of its own."""
    guardians.store(database, school[0].student_id, guardians.ago(minutes=1))
    database.query(
        "UPDATE viewers SET external_id = $1 WHERE viewer_id ="
        " (SELECT viewer_id FROM guardianships WHERE student_id = $2)",
        SUBJECT,
        school[0].student_id,
    )
    return school[0]


async def _ask(
    running: conftest.Running, token: str, child: provision.Enrolled
) -> guardians.Answer:
    path = f"/v1/students/{child.student_id}/location"
    return await guardians.Guardian(running, token).ask(path)


async def test_a_good_token_lets_its_viewer_in(
    database: conftest.Database,
    start: conftest.Start,
    signer: issuers.Issuer,
    school: list[provision.Enrolled],
    child: provision.Enrolled,
) -> None:
    """Of RSA, an elliptic curve and Ed25519: who is meant, and whom that one sees, is in our directory."""
    running = await start(signer.settings(database))
    audiences = ["another service", issuers.AUDIENCE]
    tokens = [signer.token(SUBJECT, kid, aud=audiences, role="admin") for kid in issuers.KEYS]

    answers = [
        (await _ask(running, token, one)).status for token in tokens for one in (child, school[1])
    ]

    assert answers == [200, 404] * 3
    recorded = database.query("SELECT DISTINCT viewer_id, student_id FROM lookups")
    query = "SELECT viewer_id, $2::bigint FROM viewers WHERE external_id = $1"
    assert recorded == database.query(query, SUBJECT, child.student_id)


async def test_a_forgery_is_a_bad_token(
    database: conftest.Database,
    start: conftest.Start,
    signer: issuers.Issuer,
    child: provision.Enrolled,
) -> None:
    """Whatever is wrong with it, the answer is the one to a token that nobody has, byte for byte."""
    running = await start(signer.settings(database))
    unknown = await _ask(running, "gi_view_nobody", child)

    answers = {
        name: await _ask(running, forge(signer, SUBJECT), child)
        for name, forge in forgeries.ALL.items()
    }
    answers["nobody's sub"] = await _ask(running, signer.token("nobody"), child)

    assert unknown.status == 401
    assert {name: one.status for name, one in answers.items() if one[::2] != unknown[::2]} == {}
    assert database.query("SELECT count(*) FROM lookups") == [(0,)]
    assert (await _ask(running, signer.token(SUBJECT), child)).status == 200


async def _taken(url: str, signer: issuers.Issuer, child: provision.Enrolled) -> set[str]:
    """Which forgeries let somebody in."""
    taken = set()
    async with aiohttp.ClientSession(url) as session:
        for name, forge in forgeries.ALL.items():
            headers = {"Authorization": f"Bearer {forge(signer, SUBJECT)}"}
            path = f"/v1/students/{child.student_id}/location"
            async with session.get(path, headers=headers) as answer:
                if answer.status != 401:
                    taken.add(name)
    return taken


@pytest.mark.parametrize(
    ("module", "taken"),
    [
        ("geoingest", set()),
        (
            "tests.broken.believes_algorithms",
            {"RS512, which is not allowed", "PS256, which is not allowed"},
        ),
        ("tests.broken.believes_signatures", None),
    ],
)
async def test_the_check_finds_a_service_that_believes_the_token(
    database: conftest.Database,
    signer: issuers.Issuer,
    child: provision.Enrolled,
    module: str,
    taken: set[str] | None,
) -> None:
    """A build that takes the algorithm from the token lets forgeries in, one that skips signatures more."""
    async with processes.serving(database, module=module, **signer.environment) as service:
        found = await _taken(service.url, signer, child)

    if taken is None:
        assert {"none", "HS256 by the public key", "another's key"} <= found
    else:
        assert found == taken


async def test_a_revoked_viewer_is_out_at_once(
    database: conftest.Database,
    start: conftest.Start,
    signer: issuers.Issuer,
    child: provision.Enrolled,
) -> None:
    """Though the token lives, and every process has it in memory; also when guardianship alone ends."""
    settings = signer.settings(database)
    both = [await start(settings), await start(settings)]
    token = signer.token(SUBJECT)

    first = [(await _ask(one, token, child)).status for one in both]
    database.query("UPDATE guardianships SET consent_until = now()")
    hidden = [(await _ask(one, token, child)).status for one in both]
    database.query("UPDATE viewers SET revoked_at = now() WHERE external_id = $1", SUBJECT)
    gone = [(await _ask(one, token, child)).status for one in both]

    assert (first, hidden, gone) == ([200, 200], [404, 404], [401, 401])


async def test_a_hundred_first_questions_are_one_fetch(
    database: conftest.Database,
    start: conftest.Start,
    signer: issuers.Issuer,
    child: provision.Enrolled,
) -> None:
    """They wait for a slow issuer together, and pings and our own tokens do not wait with them."""
    signer.gate.clear()
    # As many of one school at once may have to wait for a seat.
    running = await start(signer.settings(database, school_questions=100))
    tokens = [signer.token(SUBJECT, number=number) for number in range(100)]

    asked = [asyncio.create_task(_ask(running, token, child)) for token in tokens]
    await conftest.until(lambda: http.traffic.under_way >= 100)
    async with aiohttp.ClientSession(running.client.make_url("")) as session:
        headers = {"Authorization": f"Bearer {child.viewer_token}"}
        async with session.get("/v1/locations", headers=headers) as ours:
            assert ours.status == 200
    signer.gate.set()
    answers = await asyncio.gather(*asked)

    assert {one.status for one in answers} == {200}
    assert signer.fetches == 1


async def test_an_issuer_that_is_away_costs_nobody_but_its_own(
    database: conftest.Database,
    start: conftest.Start,
    signer: issuers.Issuer,
    child: provision.Enrolled,
) -> None:
    """503 with Retry-After to its tokens; other tokens are answered."""
    running = await start(signer.settings(database, oidc_jwks_url=f"{signer.url}/nowhere"))

    theirs = await _ask(running, signer.token(SUBJECT), child)
    ours = await _ask(running, child.viewer_token, child)

    assert (theirs.status, theirs.body["reason"]) == (503, "issuer_away")
    assert "Retry-After" in theirs.headers
    assert ours.status == 200
    async with running.admin.get("/readyz") as ready:
        assert ready.status == 200


async def test_without_an_issuer_no_such_token_is_taken(
    running: conftest.Running, signer: issuers.Issuer, child: provision.Enrolled
) -> None:
    """It is a token that nobody has."""
    assert (await _ask(running, signer.token(SUBJECT), child)).status == 401
    assert signer.fetches == 0


async def test_nonsense_of_any_size_is_a_bad_token(
    database: conftest.Database,
    start: conftest.Start,
    signer: issuers.Issuer,
    child: provision.Enrolled,
) -> None:
    """Over the wire, up to the longest header that is read: 401, never a 500."""
    running = await start(signer.settings(database))
    deep = base64.urlsafe_b64encode(b"[" * 5000).decode().rstrip("=")
    header = base64.urlsafe_b64encode(b'{"alg":"RS256","kid":"rsa"}').decode().rstrip("=")
    nonsense = ["..", "a.b.c", "." * 2 + "a" * 8100, f"{deep}..", f"{header}.{deep}.AAAA"]
    nonsense += [f"{header}.{'A' * size}.{'A' * size}" for size in (1, 2, 3, 4, 100, 3900)]
    nonsense += [f"{header}.e30.", f"{header}.bnVsbA.AAAA", "\xff.\xfe.\xfd", "é.ü.ß"]

    answers = [await _ask(running, one, child) for one in nonsense]

    assert {one.status for one in answers} == {401}


def _platform(*published: dict[str, Any], now: float | None = None) -> platform.Platform:
    async def fetch() -> list[jwks.Jwk]:
        return jwks.read(json.dumps({"keys": list(published)}).encode())

    keys = keyring.Keyring(fetch, TERMS.algorithms)
    asyncio.run(keys._renew())
    return platform.Platform(TERMS, keys, now=lambda: time.time() if now is None else now)


def _is_taken(trusted: platform.Platform, token: str) -> bool:
    try:
        asyncio.run(trusted.holder(token))
    except errors.UnauthenticatedError:
        return False
    return True


_KEY = issuers.jwk(issuers.RSA, "rsa", "RS256")
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)
_PART = _JSON.map(
    lambda one: base64.urlsafe_b64encode(json.dumps(one).encode()).decode().rstrip("=")
)


@hypothesis.settings(max_examples=300, deadline=None, database=None, derandomize=True)
@hypothesis.given(
    st.text(max_size=9000)
    | st.lists(st.text(max_size=50) | _PART, min_size=3, max_size=3).map(".".join)
)
def test_no_text_is_taken_or_breaks(token: str) -> None:
    """Texts, and parts that are JSON of any shape: refused as one that nobody has."""
    assert not _is_taken(_platform(_KEY), token)


@hypothesis.settings(max_examples=300, deadline=None, database=None, derandomize=True)
@hypothesis.given(
    st.fixed_dictionaries(
        {}, optional=dict.fromkeys(("iss", "aud", "sub", "exp", "nbf", "iat", "jti"), _JSON)
    )
)
def test_no_claims_break_it_even_signed(claims: dict[str, Any]) -> None:
    """What an issuer signs may be of any shape: good or refused."""
    good = {"iss": TERMS.issuer, "aud": TERMS.audience, "sub": "x", "exp": time.time() + 60}
    text = json.dumps({**good, **claims}).encode()
    token = jwt.PyJWS().encode(text, issuers.RSA, "RS256", headers={"kid": "rsa"})

    assert _is_taken(_platform(_KEY), token) in {True, False}
    whole = jwt.PyJWS().encode(
        json.dumps(good).encode(), issuers.RSA, "RS256", headers={"kid": "rsa"}
    )
    assert _is_taken(_platform(_KEY), whole)


def test_an_end_has_no_grace_and_a_beginning_has_some() -> None:
    """A clock of the issuer may be ahead by seconds; what is over is over."""
    now = time.time()
    ends_at = int(now) + 60
    claims = {"iss": TERMS.issuer, "aud": TERMS.audience, "sub": "x", "exp": ends_at}

    def token(**changes: Any) -> str:
        return jwt.encode({**claims, **changes}, issuers.RSA, "RS256", headers={"kid": "rsa"})

    early = token(nbf=int(now) + 8, iat=int(now) + 8)
    too_early = token(nbf=int(now) + 20)

    assert _is_taken(_platform(_KEY), early)
    assert not _is_taken(_platform(_KEY), too_early)
    assert _is_taken(_platform(_KEY, now=ends_at - 0.01), token())
    assert not _is_taken(_platform(_KEY, now=ends_at), token())


@pytest.fixture
async def pool(database: conftest.Database) -> AsyncIterator[db.Pool]:
    """Where bearers are looked up."""
    made = await connections.primary_pool(database.url, size=2, timeout_seconds=5)
    yield made
    made.terminate()


async def test_a_token_is_known_until_it_ends_and_not_a_second_longer(
    database: conftest.Database, pool: db.Pool, signer: issuers.Issuer, child: provision.Enrolled
) -> None:
    """Known, it is neither verified nor looked up again; over, it is refused in the same second."""
    ends_at = int(time.time()) + 60
    clock = [float(ends_at - 60)]
    async with issuer.session() as session:
        keys = keyring.Keyring(
            issuer.Issuer(session, signer.url, keys_url="").keys, TERMS.algorithms
        )
        await keys._renew()
    terms = TERMS._replace(issuer=signer.url)
    trusted = platform.Platform(terms, keys, now=lambda: clock[0])
    known = bearers.Bearers(pool, trusted, requests_per_second=50.0, now=lambda: clock[0])
    token = signer.token(SUBJECT, exp=ends_at)

    first = await known.find(token)
    # From here on neither the key nor the viewer would be found.
    keys._keys = {}
    database.query("UPDATE viewers SET external_id = NULL")
    clock[0] = ends_at - 0.01
    last = await known.find(token)
    clock[0] = float(ends_at)
    with pytest.raises(errors.UnauthenticatedError):
        await known.find(token)

    assert first == last
    assert first.viewer_id > 0


async def test_tokens_that_are_known_are_so_many_at_most(
    database: conftest.Database, pool: db.Pool, signer: issuers.Issuer, child: provision.Enrolled
) -> None:
    """Whoever has been away for longest is looked up again; a bad token is never kept."""
    known = bearers.Bearers(pool, requests_per_second=50.0, most_known=3)
    with db.direct(database.url) as connection:
        tokens = [provision.add_viewer(connection, None)[1] for _ in range(5)]

    for token in tokens:
        await known.find(token)
    with pytest.raises(errors.UnauthenticatedError):
        await known.find("gi_view_nobody")
    database.query("UPDATE viewers SET token_digest = NULL")
    kept = 0
    for token in tokens:
        try:
            await known.find(token)
        except errors.UnauthenticatedError:
            continue
        kept += 1

    assert kept == 3
