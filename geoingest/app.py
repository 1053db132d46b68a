"""Introduces the parts to each other: pools, credentials, lanes, audit, replica, and the two ports."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
from collections.abc import AsyncIterator, Coroutine, Sequence
from typing import Any

from aiohttp import web

from geoingest import config, connections, db, http, metrics, seats
from geoingest.access import (
    administrators,
    audit,
    bearers,
    credentials,
    directory_endpoints,
    directory_import,
    login_endpoints,
    logins,
    passwords,
    platform,
    sessions,
    viewer_endpoints,
    viewers,
)
from geoingest.api import document
from geoingest.ingest import (
    apps,
    batcher,
    connection,
    door,
    endpoints,
    intake,
    lane,
    overload,
    pings,
    reception,
    writer,
)
from geoingest.operations import health, openapi, runway
from geoingest.tracking import desk, replica
from geoingest.tracking import endpoints as tracking_endpoints

# Beside the fallback reads: credential poll, lag probe, partition look-up, readiness check.
_HOUSEKEEPING_CONNECTIONS = 4
_PROBE_CONNECTIONS = 1


class Service:
    """The running parts, between start and stop."""

    def __init__(
        self,
        settings: config.Config,
        primary: db.Pool,
        replicas: Sequence[db.Pool],
        trusted: platform.Platform | None,
    ) -> None:
        self._settings = settings
        self.primary = primary
        self.credentials = credentials.Credentials(primary)
        self.passwords = passwords.Passwords()
        self.bearers = bearers.Bearers(
            primary, trusted, requests_per_second=settings.viewer_requests_per_second
        )
        self.seats = seats.Seats(settings.school_questions)
        self.directory = directory_endpoints.Endpoints(
            administrators.Administrators(self.bearers, primary),
            directory_import.Imports(self._connect),
        )
        self.replica = replica.Replica(
            primary,
            replicas,
            most_reads=settings.readers,
            max_lag_seconds=settings.max_lag_seconds,
        )
        self.audit = audit.Audit(self._connect, timeout_seconds=settings.write_timeout_seconds)
        self.runway = runway.Runway(primary)
        self.queue = batcher.Batcher(
            overload.Limits(
                settings.max_queue_pings,
                settings.max_queue_bytes,
                settings.max_queue_age_seconds,
                settings.max_batch_pings,
                settings.busy_wait_seconds,
            )
        )
        self.intake = intake.Intake(
            self.credentials,
            self.queue,
            intake.Terms(
                settings.detail_days,
                settings.max_future_seconds,
                settings.max_body_pings,
                settings.device_requests_per_second,
            ),
        )
        self.doors: list[door.Door] = [
            pings.Pings(self.intake),
            *apps.doors(self.intake, interval_seconds=settings.app_interval_seconds),
        ]
        self.lanes = [
            writer.Writer(self._connect, timeout_seconds=settings.write_timeout_seconds)
            for _ in range(settings.writers_each)
        ]

    async def _connect(self) -> Any:  # the driver's connection
        return await connections.connect(
            self._settings.database_url, pooled=self._settings.is_pooled
        )

    def tasks(self) -> list[Coroutine[Any, Any, None]]:
        """What runs for as long as the service does."""
        return [
            self.credentials.run(),
            self.replica.run(),
            self.audit.run(),
            self.runway.run(),
            *(lane.run(self.queue, one) for one in self.lanes),
        ]

    def checks(self) -> dict[str, health.Check]:
        """What must be well before pings can be stored and questions answered."""
        return {
            "primary": self.primary_problem,
            "credentials": self.credentials_problem,
            "writers": self.writers_problem,
            "audit": self.audit_problem,
            "partitions": self.partitions_problem,
        }

    async def credentials_problem(self) -> str | None:
        """A readiness check."""
        return None if self.credentials.is_fresh else "not refreshed"

    async def primary_problem(self) -> str | None:
        """A readiness check."""
        return await health.primary_problem(self.primary)

    async def partitions_problem(self) -> str | None:
        """A readiness check."""
        words = "no partition for this month; run: geoingest migrate"
        return None if self.runway.has_this_month else words

    async def writers_problem(self) -> str | None:
        """A readiness check."""
        return None if self.queue.open_lanes else "no writer is connected"

    async def audit_problem(self) -> str | None:
        """A readiness check."""
        return None if self.audit.is_open else "not connected: who looks cannot be recorded"


@contextlib.asynccontextmanager
async def running(settings: config.Config) -> AsyncIterator[Service]:
    """Starts every part; stops them after the last request was answered."""
    async with contextlib.AsyncExitStack() as stack:
        primary = await connections.primary_pool(
            settings.database_url,
            size=settings.readers + _HOUSEKEEPING_CONNECTIONS,
            timeout_seconds=settings.read_timeout_seconds,
            pooled=settings.is_pooled,
        )
        stack.callback(primary.terminate)
        replicas: list[db.Pool] = []
        if settings.database_replica_url:
            replicas = await connections.replica_pools(
                settings.database_replica_url,
                size=settings.readers + _PROBE_CONNECTIONS,
                timeout_seconds=settings.read_timeout_seconds,
                pooled=settings.is_pooled,
            )
        for one in replicas:
            stack.callback(one.terminate)
        trusted = await stack.enter_async_context(platform.trusted(settings))
        service = Service(settings, primary, replicas, trusted)
        stack.callback(service.passwords.close)
        _watch(settings, service, replicas)
        tasks = [asyncio.create_task(one) for one in service.tasks()]
        stack.push_async_callback(_cancel, tasks)
        yield service


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def public(settings: config.Config, service: Service) -> web.Application:
    """What phones and guardians reach."""
    app = web.Application(middlewares=[http.observe], client_max_size=settings.max_body_bytes)
    seconds = settings.body_timeout_seconds
    app.add_routes(endpoints.routes(service.doors, body_timeout_seconds=seconds))
    reading = tracking_endpoints.Endpoints(
        desk.Desk(service.bearers, service.seats, service.replica, service.audit.record),
        detail_days=settings.detail_days,
        rollup_days=settings.rollup_days,
        lookup_days=settings.lookup_days,
    )
    app.add_routes(tracking_endpoints.routes(reading))
    app.add_routes(login_endpoints.routes(_login_endpoints(settings, service)))
    answering = viewers.Viewers(service.primary, service.bearers, service.seats)
    app.add_routes(viewer_endpoints.routes(viewer_endpoints.Endpoints(answering)))
    app.add_routes(directory_endpoints.routes(service.directory))
    app.add_routes(openapi.routes(document.document()))
    return app


def _login_endpoints(settings: config.Config, service: Service) -> login_endpoints.Endpoints:
    terms = sessions.Terms(
        datetime.timedelta(days=settings.session_days),
        datetime.timedelta(days=settings.session_idle_days),
    )
    return login_endpoints.Endpoints(
        logins.Logins(service.primary, service.passwords, terms),
        sessions.Sessions(service.primary, service.bearers),
        trusted_proxies=settings.trusted_proxies,
        body_timeout_seconds=settings.body_timeout_seconds,
    )


def public_runner(
    settings: config.Config, service: Service, **options: Any
) -> reception.Runner:  # the options are the runner's own
    """The same behind the reception, where phones are answered without it."""
    limits = connection.Limits(
        settings.max_body_bytes, settings.body_timeout_seconds, settings.keepalive_seconds
    )
    return reception.Runner(public(settings, service), service.doors, limits, **options)


def admin(service: Service) -> web.Application:
    """What the operator and Prometheus reach."""
    app = web.Application(middlewares=[http.observe])
    app.add_routes(health.routes(health.Endpoints(service.checks())))
    return app


def _watch(settings: config.Config, service: Service, replicas: Sequence[db.Pool]) -> None:
    metrics.queue_limit_pings.set(settings.max_queue_pings)
    metrics.watch(metrics.queue_pings, lambda: service.queue.pings)
    metrics.watch(metrics.writer_connections, lambda: service.queue.open_lanes)
    metrics.watch(metrics.replica_lag, lambda: service.replica.lag_seconds)
    metrics.watch(metrics.replica_in_use, lambda: service.replica.in_use)
    metrics.login_queue_limit.set(service.passwords.most_waiting_seconds)
    metrics.watch(metrics.login_queue, lambda: service.passwords.waiting_seconds)
    loop = asyncio.get_running_loop()
    metrics.watch(metrics.asyncio_tasks, lambda: len(asyncio.all_tasks(loop)))
    _watch_pools("primary", [service.primary])
    if replicas:
        _watch_pools("replica", replicas)


def _watch_pools(server: str, pools: Sequence[db.Pool]) -> None:
    # Of several replicas one is in use at a time.
    metrics.pool_limit_connections.labels(server).set(pools[0].get_max_size())
    idle, used = (metrics.pool_connections.labels(server, state) for state in ("idle", "used"))
    metrics.watch(idle, lambda: sum(one.get_idle_size() for one in pools))
    metrics.watch(used, lambda: sum(one.get_size() - one.get_idle_size() for one in pools))
