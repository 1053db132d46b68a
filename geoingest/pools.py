"""The service's connections: as the role that writes, and as the one that reads, on the primary and on replicas."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any, NamedTuple

from geoingest import config, connections, db, metrics
from geoingest.operations import privileges
from geoingest.tracking import latest

# Beside those who come to the door: credential poll, partition look-up, readiness check.
_HOUSEKEEPING_CONNECTIONS = 3
# Of the lag, and of readiness.
_PROBE_CONNECTIONS = 2
# Of each process, for questions; the others are opened when they are wanted, and all stay open. Not more, because
# the role's limit is for all processes.
_READY_CONNECTIONS = 6
_PATIENCE_SECONDS = 1.0


class Pools(NamedTuple):
    """The primary for who writes, the primary for who reads, and each replica."""

    primary: db.Pool
    reading: db.Pool
    replicas: Sequence[db.Pool]


@contextlib.asynccontextmanager
async def opened(settings: config.Config, gate: privileges.Privileges) -> AsyncIterator[Pools]:
    """Until the end of the block; SettingsError when a server that answers knows a role that is not fit."""
    options: dict[str, Any] = {
        "timeout_seconds": settings.read_timeout_seconds,
        "pooled": settings.is_pooled,
    }
    async with contextlib.AsyncExitStack() as stack:
        primary = await connections.primary_pool(
            settings.database_url,
            size=settings.readers + _HOUSEKEEPING_CONNECTIONS,
            admit=gate.admit("DATABASE_URL"),
            **options,
        )
        stack.callback(primary.terminate)
        reading = await connections.reading_pool(
            settings.read_url,
            size=settings.readers + _PROBE_CONNECTIONS,
            admit=gate.admit("DATABASE_READ_URL"),
            init=latest.warm,
            **options,
        )
        stack.callback(reading.terminate)
        replicas: list[db.Pool] = []
        if settings.database_replica_url:
            replicas = await connections.replica_pools(
                settings.database_replica_url,
                size=settings.readers + _PROBE_CONNECTIONS,
                admit=gate.admit("DATABASE_REPLICA_URL"),
                init=latest.warm,
                **options,
            )
        for one in replicas:
            stack.callback(one.terminate)
        await gate.first_look([primary, reading, *replicas])
        await asyncio.gather(*map(_open_some, replicas or [reading]))
        yield Pools(primary, reading, replicas)


def watch(pools: Pools) -> None:
    """The metrics of all."""
    _watch("primary", [pools.primary, pools.reading], in_use=2)
    if pools.replicas:
        _watch("replica", pools.replicas, in_use=1)


def _watch(server: str, pools: Sequence[db.Pool], *, in_use: int) -> None:
    # Of several replicas one is in use at a time.
    most = sum(one.get_max_size() for one in pools[:in_use])
    metrics.pool_limit_connections.labels(server).set(most)
    idle, used = (metrics.pool_connections.labels(server, state) for state in ("idle", "used"))
    metrics.watch(idle, lambda: sum(one.get_idle_size() for one in pools))
    metrics.watch(used, lambda: sum(one.get_size() - one.get_idle_size() for one in pools))


async def _open_some(pool: db.Pool) -> None:
    """Of a server that has just answered, so that the first rush need not wait for them.

    A connection that is new knows nothing of the tables, and its first question takes ten times as long: on two
    cores some at once kept all others waiting for 200 ms.
    """
    if not pool.get_size():
        return
    with contextlib.suppress(*db.DRIVER_ERRORS):
        async with asyncio.timeout(_PATIENCE_SECONDS), contextlib.AsyncExitStack() as held:
            for _ in range(min(_READY_CONNECTIONS, pool.get_max_size())):
                await held.enter_async_context(pool.acquire())
