"""openapi.json says what the public port does, no more and no less."""

from __future__ import annotations

import asyncio
import itertools
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import hypothesis
import msgspec
import orjson
import pytest
import schemathesis
from aiohttp import web
from hypothesis.strategies import SearchStrategy
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

from geoingest import app, db, parts, ping
from geoingest.access import (
    directory,
    directory_endpoints,
    login_endpoints,
    provision,
    sharing,
    viewers,
)
from geoingest.api import document
from geoingest.ingest import answers, apps
from geoingest.operations import openapi
from geoingest.tracking import geojson, lookups, parameters, shapes, track
from tests import accounts, conftest, guardians, rollups

_LONGEST_TARGET = 8190
DOCUMENT = orjson.loads(document.document())
CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
OPERATIONS = {
    operation["operationId"]: (path, method.upper())
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
}


_METHODS = {app.path: [method.upper() for method in app.methods] for app in apps.APPS}


class Served(NamedTuple):
    """A service that answers in a thread of its own, and who may ask it."""

    url: str
    known: dict[str, int]
    headers: dict[str, dict[str, str]]

    def call(self, case: Any, token: str = "") -> int:  # the generator's own
        """Sends one generated request, by this token or whose it takes, and checks the answer."""
        headers = {"Authorization": f"Bearer {token}"}
        for tag in itertools.chain(*case.operation.definition.raw["security"]):
            headers = headers if token else self.headers[tag]
        response = case.call(base_url=self.url, headers=headers)
        # A longer request line the server itself refuses, before anything of ours is asked.
        if len(response.request.path_url) < _LONGEST_TARGET:
            case.validate_response(response, checks=CHECKS)
        else:
            assert response.status_code == 400
        return int(response.status_code)


@pytest.fixture
def served(database: conftest.Database, school: list[provision.Enrolled]) -> Iterator[Served]:
    """The public port, served from a thread, because the generator asks synchronously."""
    ports: queue.Queue[int] = queue.Queue()
    stop: queue.Queue[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = queue.Queue()
    database.query("INSERT INTO schools (school_id, time_zone) VALUES (1, 'UTC')")
    database.query("INSERT INTO classes (class_id, school_id, external_id) VALUES (1, 1, '4b')")
    database.query("UPDATE students SET school_id = 1, class_id = 1")
    guardians.store(
        database, school[0].student_id, guardians.ago(minutes=1), guardians.ago(hours=3)
    )
    rollups.roll(database, guardians.ago(hours=1))
    with db.direct(database.url) as connection:
        viewer_id, everyone = provision.add_viewer(connection, None, role="admin")
    ((share_id,),) = database.query(
        "INSERT INTO shares (student_id, viewer_id, token_digest, ends_at)"
        " VALUES ($1, $2, sha256('share'), now() + interval '1 day') RETURNING share_id",
        school[0].student_id,
        viewer_id,
    )

    async def serve() -> None:
        settings = database.settings(database_replica_url="")
        event = asyncio.Event()
        stop.put((asyncio.get_running_loop(), event))
        async with parts.running(settings) as service:
            runner = web.AppRunner(app.public(settings, service), access_log=None)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            await conftest.until(
                lambda: (
                    service.credentials.is_fresh
                    and bool(service.queue.open_lanes)
                    and service.audit.is_open
                    and service.wide_audit.is_open
                )
            )
            ports.put(runner.addresses[0][1])
            await event.wait()
            await runner.cleanup()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    loop, event = stop.get(timeout=10)
    try:
        url = f"http://127.0.0.1:{ports.get(timeout=20)}"
        tokens = {"device": school[0].device_token, "viewer": everyone}
        headers = {tag: {"Authorization": f"Bearer {token}"} for tag, token in tokens.items()}
        known = {
            "student_id": school[0].student_id,
            "school_id": 1,
            "class_id": 1,
            "share_id": int(str(share_id)),
        }
        yield Served(url, known, headers)
    finally:
        loop.call_soon_threadsafe(event.set)
        thread.join(20)


def _generate(strategy: SearchStrategy[Any], call: Callable[[Any], int]) -> set[int]:
    """Sends a handful of requests, the same in each run; which statuses came back."""
    statuses: set[int] = set()

    @hypothesis.settings(
        max_examples=12,
        database=None,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(strategy)
    def once(case: Any) -> None:
        statuses.add(call(case))

    once()
    return statuses


def test_generated_requests_get_documented_answers(
    served: Served, subtests: pytest.Subtests
) -> None:
    """Valid and invalid alike: a documented status, type, headers and body; never a 5xx of a bug."""
    schema = schemathesis.openapi.from_dict(DOCUMENT)
    for name, (path, method) in OPERATIONS.items():
        operation = schema[path][method]
        strategies = {
            "valid": operation.as_strategy(),
            "invalid": operation.as_strategy(GenerationMode.NEGATIVE),
            # A student, school, class or share that is there.
            "known": operation.as_strategy(path_parameters=_of_path(path, served.known)),
        }
        statuses: set[int] = set()
        for kind, strategy in strategies.items():
            with subtests.test(f"{name} {kind}"):
                statuses |= _generate(strategy, served.call)

        # Nobody generates a password.
        assert statuses & {200, 201, 204} or name in {"log_in", "log_out", "change_own_password"}


def test_real_answers_are_as_described(served: Served) -> None:
    """A stored ping, each question once, apps by GET, and a track in each representation and resolution."""
    schema = schemathesis.openapi.from_dict(DOCUMENT)
    good = {"timestamp": guardians.NOW.isoformat(), "latitude": 1.5, "longitude": 2, "battery": -1}
    body: Any = [good, {**good, "latitude": 91}]

    statuses = [
        served.call(schema["/v1/pings"]["POST"].Case(body=body, media_type="application/json"))
    ]
    for path, method in OPERATIONS.values():
        if method == "GET":
            content = DOCUMENT["paths"][path]["get"]["responses"]["200"]["content"]
            kinds = parameters.RESOLUTIONS if "resolution" in _parameters(path) else ("",)
            for accept, resolution in itertools.product(content, kinds):
                case = schema[path][method].Case(
                    path_parameters=_of_path(path, served.known),
                    headers={"Accept": accept},
                    query={"resolution": resolution} if resolution else {},
                )
                statuses.append(served.call(case))

    assert statuses == [200] * (6 + 2 + 5 * 4 + 3 + 1)


def test_real_logins_are_as_described(
    served: Served, database: conftest.Database, school: list[provision.Enrolled]
) -> None:
    """One is logged in, has a new password, and is logged out."""
    schema = schemathesis.openapi.from_dict(DOCUMENT)
    accounts.add(database, school[1])
    known: Any = {"email": accounts.EMAIL, "password": accounts.PASSWORD}
    change: Any = {
        "old_password": accounts.PASSWORD,
        "new_password": f"another {accounts.PASSWORD}",
    }
    login = schema["/v1/login"]["POST"].Case(body=known, media_type="application/json")
    token = orjson.loads(login.call(base_url=served.url).content)["token"]

    statuses = [
        served.call(login),
        served.call(
            schema["/v1/password"]["POST"].Case(body=change, media_type="application/json"), token
        ),
        served.call(login),
        served.call(schema["/v1/sessions"]["GET"].Case(), token),
        served.call(schema["/v1/logout"]["POST"].Case(), token),
        served.call(schema["/v1/sessions"]["DELETE"].Case(), token),
    ]

    assert statuses == [200, 204, 401, 200, 204, 401]


def test_every_route_is_described_and_every_description_has_a_route(
    running: conftest.Running,
) -> None:
    """Paths and methods of the document are those of the public port; the document itself is found there."""
    routes = {
        (method, route.resource.canonical)
        for route in running.client.app.router.routes()
        if route.resource is not None and not route.resource.canonical.endswith("/")
        # Apps let their users choose: those that they do choose are told of.
        for method in (
            _METHODS.get(route.resource.canonical, ()) if route.method == "*" else [route.method]
        )
        if method != "HEAD"
    }

    described = {(method, path) for path, method in OPERATIONS.values()}
    assert routes - {("GET", "/openapi.json")} == described
    assert len(described) == 6 + 7 + 3 + 5 + 3 + len(directory.KINDS)


async def test_the_document_is_served_as_it_is_made(running: conftest.Running) -> None:
    """GET /openapi.json needs no token."""
    async with running.client.get("/openapi.json") as answer:
        body = await answer.read()

    assert (answer.status, answer.content_type) == (200, "application/json")
    assert orjson.loads(body) == DOCUMENT
    assert DOCUMENT["openapi"].startswith("3.1")


@pytest.mark.parametrize(
    "struct",
    [
        ping.PingBody,
        answers.PingsAnswer,
        answers.RejectedPing,
        answers.IgnoredField,
        shapes.LocationAnswer,
        shapes.LocationsAnswer,
        shapes.RawTrack,
        shapes.HourTrack,
        shapes.DayTrack,
        shapes.DaysAnswer,
        shapes.Lookup,
        shapes.LookupsAnswer,
        login_endpoints.LoginBody,
        login_endpoints.LoginAnswer,
        login_endpoints.SessionShape,
        login_endpoints.SessionsAnswer,
        login_endpoints.PasswordBody,
        sharing.ShareBody,
        sharing.MadeAnswer,
        sharing.ShareAnswer,
        sharing.SharesAnswer,
        geojson.RawFeatures,
        geojson.HourFeatures,
        geojson.DayFeatures,
        viewers.SeenStudent,
        viewers.ViewerAnswer,
        viewers.SchoolAnswer,
        viewers.ClassAnswer,
        openapi.Problem,
        *directory.KINDS.values(),
        directory.Report,
        directory.BadLine,
        directory_endpoints.BadLinesProblem,
    ],
)
def test_schemas_are_those_of_the_structs(struct: type[msgspec.Struct]) -> None:
    """The members, and which of them are always there, come from the type that decodes or encodes."""
    schema = DOCUMENT["components"]["schemas"][struct.__name__]
    fields = msgspec.structs.fields(struct)
    tag = struct.__struct_config__.tag_field

    assert set(schema["properties"]) - {tag} == {field.encode_name for field in fields}
    assert set(schema.get("required", [])) - {tag} == {
        field.encode_name for field in fields if field.required
    }


def test_limits_are_the_ones_in_force() -> None:
    """What the document promises of a parameter is what its parser lets through."""
    many = _parameters("/v1/locations")
    one = _parameters("/v1/students/{student_id}/track")

    assert many["student_id"]["maxItems"] == parameters.MOST_STUDENTS
    assert (one["limit"]["maximum"], one["limit"]["default"]) == (
        track.MOST_POINTS,
        parameters.DEFAULT_LIMIT,
    )
    assert set(one) == {"student_id", "from", "to", "resolution", "limit", "cursor"}
    assert one["resolution"]["enum"] == list(parameters.RESOLUTIONS)
    looked = _parameters("/v1/students/{student_id}/lookups")
    assert (looked["limit"]["maximum"], looked["limit"]["default"]) == (
        lookups.MOST_LOOKUPS,
        parameters.DEFAULT_LOOKUPS,
    )
    assert set(_parameters("/v1/students/{student_id}/days")) == {"student_id", "from", "to"}


def _of_path(path: str, known: dict[str, int]) -> dict[str, int]:
    return {name: value for name, value in known.items() if f"{{{name}}}" in path}


def _parameters(path: str) -> dict[str, Any]:
    return {
        one["name"]: one["schema"] for one in DOCUMENT["paths"][path]["get"].get("parameters", [])
    }
