"""A request that is not taken gets problem details that say whose turn it is, and never a 2xx or 3xx."""

from __future__ import annotations

import asyncio
import datetime
import gzip
import json
from typing import Any, NamedTuple

import pytest

from geoingest import db
from geoingest.access import provision
from tests import conftest

PROBLEM = "application/problem+json"
NOW = datetime.datetime.now(datetime.UTC).isoformat()
PING = {"timestamp": NOW, "latitude": 52.5, "longitude": 13.4}


class _Refusal(NamedTuple):
    status: int
    kind: str
    problem: dict[str, Any]
    authenticate: str | None
    allow: str | None


async def _ask(
    running: conftest.Running, method: str = "POST", path: str = "/v1/pings", **request: Any
) -> _Refusal:
    async with running.client.request(method, path, allow_redirects=False, **request) as answer:
        return _Refusal(
            answer.status,
            answer.content_type,
            json.loads(await answer.read()),
            answer.headers.get("WWW-Authenticate"),
            answer.headers.get("Allow"),
        )


def _bearer(token: str, **more: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}", **more}


def _assert_problem(refusal: _Refusal, status: int, reason: str) -> None:
    """RFC 9457's members and our own; the sentence for people is there or left out."""
    assert (refusal.status, refusal.kind) == (status, PROBLEM)
    assert {**refusal.problem, "detail": "", "title": ""} == {
        "type": "about:blank",
        "title": "",
        "status": status,
        "reason": reason,
        "detail": "",
    }
    assert refusal.problem["title"]


@pytest.fixture
async def strict(
    database: conftest.Database, start: conftest.Start, school: list[provision.Enrolled]
) -> conftest.Running:
    """A service with limits small enough to reach."""
    running = await start(
        database.settings(max_body_bytes=2000, max_body_pings=20, body_timeout_seconds=0.2)
    )
    await running.service.credentials.refresh()
    return running


async def test_only_what_is_no_json_at_all_is_a_400(
    strict: conftest.Running, database: conftest.Database, school: list[provision.Enrolled]
) -> None:
    """Garbage, nothing, half a document, and NDJSON without one readable line."""
    token, text = school[0].device_token, json.dumps(PING).encode()
    lines = {"Content-Type": "application/x-ndjson"}
    bodies: list[tuple[bytes, dict[str, str]]] = [(b"hello", {}), (b"", {}), (text[:-1], {})]
    bodies += [(b"\xff\xfe", {}), (b"[" * 1500, {}), (b"a\nb", lines)]

    refusals = [
        await _ask(strict, data=body, headers=_bearer(token, **more)) for body, more in bodies
    ]

    for refusal in refusals:
        _assert_problem(refusal, 400, "malformed_body")
    assert database.query("SELECT count(*) FROM geolocation_data") == [(0,)]


async def test_a_body_that_does_not_unpack_costs_no_other_request(
    strict: conftest.Running, school: list[provision.Enrolled]
) -> None:
    """Broken gzip is a 400, and the next ping is taken: the connection goes on, or was said to close."""
    token, text = school[0].device_token, json.dumps(PING).encode()
    zipped = _bearer(token, **{"Content-Encoding": "gzip"})

    refusals = [
        await _ask(strict, data=body, headers=zipped)
        for body in (text, gzip.compress(text)[:-30], b"\x1f\x8b", text)
    ]
    taken = await _ask(strict, data=text, headers=_bearer(token))

    for refusal in refusals:
        _assert_problem(refusal, 400, "malformed_body")
    assert taken.status == 200


async def test_without_a_valid_token_nobody_is_let_in(
    strict: conftest.Running, database: conftest.Database, school: list[provision.Enrolled]
) -> None:
    """No token, another scheme, unknown, a viewer's and a revoked one: 401 alike, naming the scheme."""
    revoked = school[1]
    with db.direct(database.url) as connection:
        provision.revoke_device(connection, revoked.device_id)
    await strict.service.credentials.refresh()
    headers = [{}, {"Authorization": f"Basic {school[0].device_token}"}, _bearer("")]
    headers += [_bearer("gi_dev_unknown"), _bearer(school[0].viewer_token)]
    headers += [_bearer(revoked.device_token), {"Authorization": "Bearer"}]

    refusals = [await _ask(strict, json=PING, headers=one) for one in headers]
    # Who is asking comes first: nothing is told about the body of a stranger.
    refusals.append(await _ask(strict, data=b"no json", headers=_bearer("gi_dev_unknown")))

    for refusal in refusals:
        _assert_problem(refusal, 401, "unauthenticated")
        assert refusal.authenticate == "Bearer"
    assert len({str(one.problem) for one in refusals}) == 1
    assert database.query("SELECT count(*) FROM geolocation_data") == [(0,)]


async def test_too_large_is_said_before_anything_is_stored(
    strict: conftest.Running, database: conftest.Database, school: list[provision.Enrolled]
) -> None:
    """Too many bytes, too many once unpacked, or too many pings: 413, and none of them stored."""
    token, one = school[0].device_token, json.dumps(PING).encode()
    minimal = b'{"timestamp":0,"latitude":0,"longitude":0}'
    bodies: list[tuple[bytes, dict[str, str]]] = [
        (one + b" " * 2000, {}),
        (gzip.compress(one + b" " * 500_000), {"Content-Encoding": "gzip"}),
        (b"[" + b",".join([minimal] * 21) + b"]", {}),
        (b"\n".join([minimal] * 21), {"Content-Type": "application/x-ndjson"}),
        (b"[" + b",".join([b"7"] * 21) + b"]", {}),
    ]

    refusals = [
        await _ask(strict, data=body, headers=_bearer(token, **more)) for body, more in bodies
    ]
    within = await _ask(strict, data=one + b" " * 1000, headers=_bearer(token))

    for refusal in refusals:
        _assert_problem(refusal, 413, "body_too_large")
    assert within.status == 200
    assert database.query("SELECT count(*) FROM geolocation_data") == [(1,)]
    assert database.query("SELECT count(*) FROM rejected_pings") == [(0,)]


async def test_a_body_that_stalls_is_cut(
    strict: conftest.Running, school: list[provision.Enrolled]
) -> None:
    """A phone that stops in the middle of its body is told 408 instead of held for ever."""
    port = strict.client.port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = (
        f"POST /v1/pings HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer {school[0].device_token}"
    )

    writer.write(f"{head}\r\nContent-Length: 100\r\n\r\n".encode() + b'{"timest')
    async with asyncio.timeout(10):
        status = await reader.readline()

    writer.close()
    assert status.split()[1] == b"408"


async def test_no_path_answers_202_or_redirects(
    strict: conftest.Running, school: list[provision.Enrolled]
) -> None:
    """A phone's library that follows a redirect or takes any 2xx for stored would lose pings."""
    bearer = _bearer(school[0].device_token)
    paths = ["/v1/pings/", "/v1//pings", "/v1", "/", "/v1/PINGS", "/v1/pings/1", "/V1/pings"]

    lost = [await _ask(strict, path=path, json=PING, headers=bearer) for path in paths]
    wrong = [await _ask(strict, method, headers=bearer) for method in ("GET", "PUT", "DELETE")]
    other = await _ask(strict, "POST", "/v1/locations", json=PING, headers=bearer)

    for refusal in lost:
        _assert_problem(refusal, 404, "not_found")
    for refusal in [*wrong, other]:
        _assert_problem(refusal, 405, "method_not_allowed")
    assert {one.allow for one in wrong} == {"POST"}
