"""A month of pings leaves, as retention does it and as a DELETE does it, while pings arrive."""

from __future__ import annotations

import concurrent.futures
import contextlib
import datetime
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import click
from psycopg import sql

from bench import bodies, generator, ingest, open_loop, seed, service, stream, world
from geoingest import db
from geoingest.lifecycle import partitions, removal

# Far enough back for two whole months that nobody writes to.
_OLD_DAYS = 150
_LOCKS = """
SELECT lock.mode
FROM pg_locks AS lock
WHERE lock.pid = $1 AND lock.relation = 'geolocation_data'::regclass
"""
_EXCLUSIVE = "AccessExclusiveLock"


class Plan(NamedTuple):
    """The options; 3,500 students of 120 pings a day are ten million in 24 days."""

    students: int = 3500
    days: int = 24
    rate: float = 500.0
    seconds: float = 30.0
    warmup: float = 5.0


class _Gone(NamedTuple):
    """How one month left: until it was over, and what it held of the table of all months."""

    seconds: float
    exclusive_seconds: float
    wal_mib: float


def run(plan: Plan) -> dict[str, object]:
    """Two months alike: one is dropped, one deleted; each with its own pings beside it."""
    with world.databases(with_replica=False) as on:
        tokens = [one.device_token for one in world.enrol(on, plan.students)]
        months = _fill(plan, on)
        with service.running(on) as target:
            course = _Course(plan, on, target, tokens)
            quiet = course.lap("quiet", lambda _: None)
            dropped = course.lap(
                "dropped", lambda connection: removal.drop(connection, partitions.name(months[0]))
            )
            deleted = course.lap("deleted", lambda connection: _delete(connection, months[1]))
            vacuumed = course.lap("vacuumed", lambda connection: _vacuum(connection, months[1]))
        pings = plan.students * plan.days * seed.PINGS_PER_DAY
        rows = world.count_rows(on)
    return {
        "pings": pings,
        **quiet,
        **dropped,
        **deleted,
        **vacuumed,
        "drop_to_delete": round(
            float(str(deleted["deleted_seconds"])) / float(str(dropped["dropped_seconds"])), 1
        ),
        "errors": course.errors,
        "acknowledged": course.acknowledged,
        "rows": rows,
        "valid": course.is_fair and rows == course.acknowledged,
        "postgresql": on.servers.version,
    }


class _Course:
    """What the laps share."""

    def __init__(
        self, plan: Plan, on: world.World, target: service.Service, tokens: Sequence[str]
    ) -> None:
        self.acknowledged = self.errors = 0
        self.is_fair = True
        self._plan = plan
        self._on = on
        self._target = target
        self._singles = bodies.Singles(tokens, port=target.port)

    def lap(self, name: str, work: Callable[[db.DirectConnection], None]) -> dict[str, object]:
        """Pings for so long; the work begins when they are counted."""
        plan, target = self._plan, self._target
        pings = stream.Stream("pings", plan.rate, plan.students, self._singles, (ingest.STORED,))
        with concurrent.futures.ThreadPoolExecutor(1) as beside:
            working = beside.submit(self._work, work)
            load = generator.run(
                open_loop.run,
                open_loop.Plan(
                    target.host, target.port, target.pid, [pings], plan.warmup, plan.seconds
                ),
            )
            gone = working.result()
        outcome = load.outcomes["pings"]
        self.acknowledged += outcome.acknowledged
        self.errors += outcome.errors
        self.is_fair &= load.kept_schedule
        values = {**gone._asdict(), **outcome.latency}
        click.echo(
            f"  {name:9} {gone.seconds:7.2f} s, pings p99 {values['p99_ms']} ms,"
            f" slowest {values['max_ms']} ms, WAL {gone.wal_mib:.1f} MiB",
            err=True,
        )
        return {f"{name}_{key}": value for key, value in values.items()}

    def _work(self, work: Callable[[db.DirectConnection], None]) -> _Gone:
        # The phones connect meanwhile, then they warm up.
        time.sleep(self._plan.students / open_loop.CONNECTS_PER_SECOND + 2 * self._plan.warmup)
        with db.direct(self._on.url) as connection:
            before, started = world.wal_bytes(connection), time.perf_counter()
            with _watching(self._on, connection.info.backend_pid) as exclusive:
                work(connection)
            seconds = time.perf_counter() - started
            wal_mib = (world.wal_bytes(connection) - before) / 2**20
        return _Gone(round(seconds, 3), round(sum(exclusive), 3), round(wal_mib, 1))


def _fill(plan: Plan, on: world.World) -> list[datetime.date]:
    """The two oldest whole months, with a school's pings each."""
    now = datetime.datetime.now(datetime.UTC)
    with db.direct(on.url) as connection:
        partitions.ensure(connection, detail_days=_OLD_DAYS, now=now)
        months = partitions.attached(connection)[:2]
    hours = datetime.timedelta(hours=seed.DAY_STARTS_HOURS)
    for month in months:
        start, _ = partitions.bounds(month)
        seed.fill(
            on, days=[start + hours + datetime.timedelta(number) for number in range(plan.days)]
        )
    return months


def _delete(connection: db.DirectConnection, month: datetime.date) -> None:
    """What is written where there are no partitions."""
    connection.execute("SET statement_timeout = 0")
    connection.execute(
        'DELETE FROM geolocation_data WHERE "timestamp" >= $1 AND "timestamp" < $2',
        list(partitions.bounds(month)),
    )


def _vacuum(connection: db.DirectConnection, month: datetime.date) -> None:
    connection.execute(sql.SQL("VACUUM {}").format(sql.Identifier(partitions.name(month))))


@contextlib.contextmanager
def _watching(on: world.World, pid: int) -> Iterator[list[float]]:
    """How long the backend holds, or waits for, the lock that lets nobody write; looked at often."""
    found: list[float] = []
    ended = threading.Event()

    def look() -> None:
        with db.direct(on.url) as connection:
            last = time.perf_counter()
            while not ended.wait(0.002):
                modes = [row["mode"] for row in connection.execute(_LOCKS, [pid])]
                now = time.perf_counter()
                if _EXCLUSIVE in modes:
                    found.append(now - last)
                last = now

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield found
    finally:
        ended.set()
        watcher.join()
