"""The service's parts, from start to stop: credentials, lanes, audit, bearers, replica, and whether they are well."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from typing import Any

from geoingest import config, connections, metrics, pools, seats
from geoingest.access import audit, bearers, credentials, ledger, passwords, platform
from geoingest.ingest import apps, batcher, door, intake, lane, overload, pings, writer
from geoingest.local import child
from geoingest.operations import health, privileges, runway
from geoingest.tracking import replica


class Service:
    """The running parts, between start and stop."""

    def __init__(
        self,
        settings: config.Config,
        opened: pools.Pools,
        gate: privileges.Privileges,
        trusted: platform.Platform | None,
    ) -> None:
        self._settings = settings
        self.pools = opened
        self.privileges = gate
        self.primary = opened.primary
        self.credentials = credentials.Credentials(opened.primary)
        self.passwords = passwords.Passwords()
        self.bearers = bearers.Bearers(
            opened.primary, trusted, requests_per_second=settings.viewer_requests_per_second
        )
        self.seats = seats.Seats(settings.school_questions)
        self.replica = replica.Replica(
            opened.reading,
            opened.replicas,
            most_reads=settings.readers,
            max_lag_seconds=settings.max_lag_seconds,
        )
        seconds = settings.write_timeout_seconds
        self.audit = audit.Audit(self.connect, ledger.write_rows, timeout_seconds=seconds)
        # For answers of many students: to look for 3,500 takes a while, in which others want to be recorded.
        self.wide_audit = audit.Audit(self.connect, ledger.write_groups, timeout_seconds=seconds)
        self.runway = runway.Runway(opened.primary)
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
            writer.Writer(self.connect, timeout_seconds=settings.write_timeout_seconds)
            for _ in range(settings.writers_each)
        ]

    async def connect(self) -> Any:  # the driver's connection
        """One to the primary, for who writes, beside the pool."""
        return await connections.connect(
            self._settings.database_url,
            pooled=self._settings.is_pooled,
            admit=self.privileges.admit("DATABASE_URL"),
        )

    def tasks(self) -> list[Coroutine[Any, Any, None]]:
        """What runs for as long as the service does."""
        return [
            self.credentials.run(),
            self.replica.run(),
            self.audit.run(),
            self.wide_audit.run(),
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
            "reads": self.reads_problem,
            "partitions": self.partitions_problem,
        }

    async def credentials_problem(self) -> str | None:
        """A readiness check."""
        return None if self.credentials.is_fresh else "not refreshed"

    async def primary_problem(self) -> str | None:
        """A readiness check."""
        return await health.primary_problem(self.primary)

    async def reads_problem(self) -> str | None:
        """A readiness check."""
        return await health.reading_problem(self.pools.reading)

    async def partitions_problem(self) -> str | None:
        """A readiness check."""
        words = "no partition for this month; run: geoingest migrate"
        return None if self.runway.has_this_month else words

    async def writers_problem(self) -> str | None:
        """A readiness check."""
        return None if self.queue.open_lanes else "no writer is connected"

    async def audit_problem(self) -> str | None:
        """A readiness check."""
        is_open = self.audit.is_open and self.wide_audit.is_open
        return None if is_open else "not connected: who looks cannot be recorded"


@contextlib.asynccontextmanager
async def running(settings: config.Config) -> AsyncIterator[Service]:
    """Starts every part; stops them after the last request was answered."""
    gate = privileges.Privileges(is_strict=not child.is_of_up())
    async with contextlib.AsyncExitStack() as stack:
        opened = await stack.enter_async_context(pools.opened(settings, gate))
        trusted = await stack.enter_async_context(platform.trusted(settings))
        service = Service(settings, opened, gate, trusted)
        stack.callback(service.passwords.close)
        _watch(settings, service)
        tasks = [asyncio.create_task(one) for one in service.tasks()]
        stack.push_async_callback(_cancel, tasks)
        yield service


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _watch(settings: config.Config, service: Service) -> None:
    metrics.queue_limit_pings.set(settings.max_queue_pings)
    metrics.watch(metrics.queue_pings, lambda: service.queue.pings)
    metrics.watch(metrics.writer_connections, lambda: service.queue.open_lanes)
    metrics.watch(metrics.replica_lag, lambda: service.replica.lag_seconds)
    metrics.watch(metrics.replica_in_use, lambda: service.replica.in_use)
    metrics.login_queue_limit.set(service.passwords.most_waiting_seconds)
    metrics.watch(metrics.login_queue, lambda: service.passwords.waiting_seconds)
    loop = asyncio.get_running_loop()
    metrics.watch(metrics.asyncio_tasks, lambda: len(asyncio.all_tasks(loop)))
    pools.watch(service.pools)
