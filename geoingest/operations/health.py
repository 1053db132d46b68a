"""The admin port: is the process alive, may it be sent traffic, what are its numbers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import asyncpg
import orjson
from aiohttp import web
from prometheus_client.aiohttp import make_aiohttp_handler

from geoingest import db, http

# Each check answers what is wrong, or None.
Check = Callable[[], Awaitable[str | None]]

_PATIENCE_SECONDS = 2.0
_STANDBY = "the server is a standby and refuses writes"
_TIMEOUTS = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")


class Endpoints:
    """Health handlers."""

    def __init__(self, checks: Mapping[str, Check]) -> None:
        self._checks = checks

    async def get_livez(self, _request: web.Request) -> web.Response:
        """200 while the event loop turns; a restart is the cure when it does not."""
        return web.Response(text="alive\n")

    async def get_readyz(self, _request: web.Request) -> web.Response:
        """200 when pings can be taken, else 503; the body says what is wrong either way."""
        results = {name: await check() or "ok" for name, check in self._checks.items()}
        ready = all(result == "ok" for result in results.values())
        return web.Response(
            status=200 if ready else 503,
            body=orjson.dumps({"ready": ready, **results}),
            content_type=http.JSON,
        )


def routes(endpoints: Endpoints) -> list[web.RouteDef]:
    """The route table of the admin port."""
    return [
        web.get("/livez", endpoints.get_livez),
        web.get("/readyz", endpoints.get_readyz),
        web.get("/metrics", make_aiohttp_handler()),
    ]


async def primary_problem(pool: db.Pool) -> str | None:
    """What keeps the primary from taking writes safely: `SELECT 1` would not notice."""
    try:
        async with pool.acquire(timeout=_PATIENCE_SECONDS) as connection:
            if await connection.fetchval("SELECT pg_is_in_recovery()"):
                return _STANDBY
            for name in _TIMEOUTS:
                # Poolers and some hosts drop start-up parameters silently, so ask what is in force.
                if await connection.fetchval("SELECT current_setting($1)", name) == "0":
                    return f"{name} is not set for this role; run as a superuser: sql/roles.sql"
    except asyncpg.TargetServerAttributeNotMatched:
        return _STANDBY
    except db.DRIVER_ERRORS as exc:
        return f"no connection ({db.sqlstate(exc)})"
    return None


async def reading_problem(pool: db.Pool) -> str | None:
    """What keeps the primary from being asked; the role that reads has a limit of its own."""
    try:
        async with pool.acquire(timeout=_PATIENCE_SECONDS) as connection:
            await connection.fetchval("SELECT 1")
    except db.DRIVER_ERRORS as exc:
        return f"no connection ({db.sqlstate(exc)})"
    return None
