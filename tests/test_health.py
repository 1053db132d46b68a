"""The admin port: alive while the loop turns, ready while pings can be taken, with the reason when not."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

from aiohttp.test_utils import TestClient, TestServer

from geoingest import app, config, parts
from geoingest.local import roles
from tests import conftest, processes


async def _get(client: Any, path: str) -> tuple[int, str, bytes]:
    async with client.get(path) as answer:
        return answer.status, answer.content_type, await answer.read()


async def _problems(client: Any) -> dict[str, str]:
    """What /readyz finds wrong; it says 503 exactly when there is something."""
    status, kind, body = await _get(client, "/readyz")
    checks = json.loads(body)
    ready = checks.pop("ready")
    wrong = {name: words for name, words in checks.items() if words != "ok"}
    assert (status, ready) == ((503, False) if wrong else (200, True))
    assert kind == "application/json"
    return wrong


@contextlib.asynccontextmanager
async def _admin(settings: config.Config) -> AsyncIterator[tuple[parts.Service, Any]]:
    """The admin port of a service that may never become ready."""
    async with (
        parts.running(settings) as service,
        TestClient(TestServer(app.admin(service))) as client,
    ):
        yield service, client


async def test_a_service_that_can_take_pings_is_ready(running: conftest.Running) -> None:
    """200, and each check by its name."""
    await conftest.until(lambda: running.service.runway.has_this_month)

    status, _, body = await _get(running.admin, "/readyz")

    assert status == 200
    checks = json.loads(body)
    assert checks.pop("ready") is True
    assert set(checks) >= {"primary", "credentials", "writers", "audit"}
    assert set(checks.values()) == {"ok"}
    assert await _get(running.admin, "/livez") == (200, "text/plain", b"alive\n")


async def test_without_a_timeout_in_force_it_is_not_ready(database: conftest.Database) -> None:
    """A pooler or a host that dropped it silently is named with the setting."""
    (name,) = database.query("SELECT current_database()")[0]
    alter = f"ALTER ROLE {roles.INGEST} IN DATABASE {name}"

    for setting in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"):
        database.administer(f"{alter} SET {setting} = 0")
        async with _admin(database.settings()) as (service, client):
            await conftest.until(lambda: bool(service.queue.open_lanes))  # awaited here
            await conftest.until(lambda: service.audit.is_open)
            await conftest.until(lambda: service.credentials.is_fresh)
            await service.runway.look()
            problems = await _problems(client)
        database.administer(f"{alter} RESET {setting}")

        assert set(problems) == {"primary"}
        assert setting in problems["primary"]


async def test_on_a_standby_it_is_not_ready(database: conftest.Database) -> None:
    """Where `SELECT 1` would work: a demoted primary refuses writes, and nothing stays connected to it."""
    url = conftest.as_role(database.replica_url, roles.INGEST)
    settings = database.settings(database_url=url, database_replica_url="")

    async with _admin(settings) as (_, client), asyncio.timeout(10):
        problems = await _problems(client)
        while "standby" not in problems["primary"]:
            # The database itself is not replicated yet.
            problems = await _problems(client)

    assert problems["writers"] == "no writer is connected"
    assert problems["credentials"] == "not refreshed"


async def test_without_its_database_it_lives_and_is_not_ready() -> None:
    """A restart would not help, so /livez stays 200; /readyz says what is missing."""
    (port,) = processes.free_ports(1)
    nobody = f"postgresql://nobody:secret-word@127.0.0.1:{port}/none"

    async with _admin(config.Config(database_url=nobody)) as (_, client):
        problems = await _problems(client)
        alive, *_ = await _get(client, "/livez")

    assert alive == 200
    assert {"primary", "credentials", "writers", "audit"} <= set(problems)
    assert problems["primary"].startswith("no connection")
    assert "secret-word" not in str(problems)


async def test_without_this_month_it_is_not_ready(database: conftest.Database) -> None:
    """Every ping would fail: the months are checked before the first one comes."""
    months = "SELECT inhrelid::regclass::text FROM pg_inherits"
    for (month,) in database.query(f"{months} WHERE inhparent = 'geolocation_data'::regclass"):
        database.query(f"DROP TABLE {month}")

    async with _admin(database.settings()) as (service, client):
        await conftest.until(lambda: bool(service.queue.open_lanes))
        await conftest.until(lambda: service.audit.is_open)
        await conftest.until(lambda: service.credentials.is_fresh)
        await service.runway.look()
        problems = await _problems(client)

    assert len(problems) == 1
    assert "migrate" in str(problems) or "month" in str(problems)


async def test_the_public_port_tells_nothing_of_this(running: conftest.Running) -> None:
    """Metrics and health are on the admin port only, pings and reads on the public one only."""
    hidden = [await _get(running.client, path) for path in ("/metrics", "/livez", "/readyz")]
    foreign = [await _get(running.admin, path) for path in ("/v1/locations", "/openapi.json")]

    assert {(status, kind) for status, kind, _ in hidden + foreign} == {
        (404, "application/problem+json")
    }
