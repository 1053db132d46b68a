"""Connections of the event loop: to whichever server of a URL takes writes, or to each of them."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeAlias

import asyncpg
from asyncpg import connect_utils

from geoingest import db

_STATEMENTS = 100

# Has the last word on each connection, before its first use.
Admit: TypeAlias = Callable[["asyncpg.Connection[db.Record]"], Awaitable[None]]


# Runs on each connection of a pool when it is new.
Init: TypeAlias = Callable[["db.Connection"], Coroutine[Any, Any, None]]


async def _nothing(_connection: db.Connection) -> None:
    return None


async def connect(
    url: str, *, pooled: bool = False, admit: Admit = _nothing
) -> asyncpg.Connection[db.Record]:
    """Opens one connection, to the server of the URL that takes writes."""
    return await _to_writing(url, admit=admit, **_options(pooled=pooled))


async def primary_pool(
    url: str, *, size: int, timeout_seconds: float, pooled: bool = False, admit: Admit = _nothing
) -> db.Pool:
    """A pool of such connections; it opens them lazily, so that a server that is away stops nothing."""
    to = functools.partial(_to_writing, admit=admit)
    return await _pool(url, to, size, timeout_seconds, pooled=pooled)


async def reading_pool(
    url: str,
    *,
    size: int,
    timeout_seconds: float,
    pooled: bool = False,
    admit: Admit = _nothing,
    init: Init = _nothing,
) -> db.Pool:
    """The same for a role whose transactions only read, by default."""
    to = functools.partial(_to_primary, admit=admit)
    return await _pool(url, to, size, timeout_seconds, pooled=pooled, init=init)


async def replica_pools(
    url: str,
    *,
    size: int,
    timeout_seconds: float,
    pooled: bool = False,
    admit: Admit = _nothing,
    init: Init = _nothing,
) -> list[db.Pool]:
    """A pool for each server of the URL; whether it is a replica just now, its user has to ask."""
    return [
        await _pool(
            url,
            functools.partial(_to, one, admit=admit),
            size,
            timeout_seconds,
            pooled=pooled,
            init=init,
        )
        for one in db.servers(url)
    ]


async def _pool(
    url: str,
    connect_one: Callable[..., Any],
    size: int,
    timeout_seconds: float,
    *,
    pooled: bool,
    init: Init = _nothing,
) -> db.Pool:
    return await asyncpg.create_pool(
        url,
        connect=connect_one,
        min_size=0,
        max_size=size,
        command_timeout=timeout_seconds,
        init=init,
        # A quiet night must not leave the morning without connections.
        max_inactive_connection_lifetime=0.0,
        # The default reset costs a round trip per use; nothing here leaves session state behind.
        reset=_keep_session,
        **_options(pooled=pooled),
    )


def _options(*, pooled: bool) -> dict[str, Any]:
    return {
        "timeout": db.CONNECT_SECONDS,
        # Behind a pooler each statement may meet another session, where nothing was prepared.
        "statement_cache_size": 0 if pooled else _STATEMENTS,
        "server_settings": {"application_name": "geoingest"},
    }


async def _keep_session(_connection: db.Connection) -> None:
    return None


async def _to(
    server: db.Server, url: str, *, admit: Admit, must_be_primary: bool = False, **options: Any
) -> asyncpg.Connection[db.Record]:
    pooled = options["statement_cache_size"] == 0
    if must_be_primary and not pooled:
        options["target_session_attrs"] = connect_utils.SessionAttribute.primary
    connection: asyncpg.Connection[db.Record] = await asyncpg.connect(
        url, host=server.host, port=server.port, **options
    )
    try:
        async with asyncio.timeout(options["timeout"]):
            if pooled:
                await _settle(connection, must_be_primary=must_be_primary)
            await admit(connection)
    except BaseException:
        connection.terminate()
        raise
    return connection


async def _settle(connection: asyncpg.Connection[db.Record], *, must_be_primary: bool) -> None:
    """What comes first behind a pooler, in a transaction, which stays in one session."""
    # By hand: the driver's own block would wait for a ROLLBACK that a hanging server never answers.
    await connection.execute("BEGIN")
    # The driver turns jit off to look up a type, and on again.
    await connection.prepare(db.queries()["array_types"])
    # The pooler's greeting repeats what the server was when the pooler first met it.
    if must_be_primary and await connection.fetchval("SELECT pg_is_in_recovery()"):
        raise asyncpg.TargetServerAttributeNotMatched("the pooler leads to a standby")
    await connection.execute("COMMIT")


async def _to_writing(url: str, *, admit: Admit, **options: Any) -> asyncpg.Connection[db.Record]:
    async def admit_writing(connection: asyncpg.Connection[db.Record]) -> None:
        # First, because of a role that only reads it has more to say.
        await admit(connection)
        if getattr(connection.get_settings(), "default_transaction_read_only", "off") == "on":
            raise asyncpg.TargetServerAttributeNotMatched("the server refuses writes")

    return await _to_primary(url, admit=admit_writing, **options)


async def _to_primary(url: str, **options: Any) -> asyncpg.Connection[db.Record]:
    """Asks all servers at once: one that hangs, like a machine without power, delays nobody."""
    attempts = [
        asyncio.create_task(_to(one, url, must_be_primary=True, **options))
        for one in db.servers(url)
    ]
    chosen, failures = None, list[BaseException]()
    try:
        for attempt in asyncio.as_completed(attempts):
            try:
                chosen = await attempt
            except db.DRIVER_ERRORS as exc:
                failures.append(exc)
            else:
                return chosen
        raise failures[-1]
    finally:
        for one in attempts:
            one.cancel()
            one.add_done_callback(functools.partial(_hang_up_unless, chosen))


def _hang_up_unless(chosen: object, attempt: asyncio.Task[asyncpg.Connection[db.Record]]) -> None:
    if not attempt.cancelled() and not attempt.exception() and attempt.result() is not chosen:
        attempt.result().terminate()
