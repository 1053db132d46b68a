"""A month is made and one is dropped beside a question of half a minute: how long do pings wait?"""

from __future__ import annotations

import concurrent.futures
import datetime
import time
from typing import NamedTuple

import click
import psycopg

from bench import bodies, generator, ingest, open_loop, service, stream, world
from geoingest import config, db
from geoingest.lifecycle import partitions, removal

# The database is asked for a month that does not come for a while, and has one that nobody needs.
_AHEAD = datetime.timedelta(days=35)
_OLD_DAYS = 150


class Plan(NamedTuple):
    """The options; the question holds the table for `reader` seconds of those measured."""

    devices: int = 500
    rate: float = 500.0
    seconds: float = 45.0
    warmup: float = 5.0
    reader: float = 30.0


class _Months(NamedTuple):
    """When each was done, from the start of the question."""

    made_seconds: float
    dropped_seconds: float
    read_seconds: float


def run(plan: Plan) -> dict[str, object]:
    """The whole measurement: service, phones, and the months behind their backs."""
    with (
        world.databases(with_replica=True) as on,
        concurrent.futures.ThreadPoolExecutor(2) as beside,
    ):
        tokens = [one.device_token for one in world.enrol(on, plan.devices)]
        with service.running(on) as target:
            click.echo(f"{plan.rate:g} pings/s, a question of {plan.reader:g} s", err=True)
            singles = bodies.Singles(tokens, port=target.port)
            pings = stream.Stream("pings", plan.rate, plan.devices, singles, (ingest.STORED,))
            upkeep = beside.submit(_upkeep, plan, on, beside)
            load = generator.run(
                open_loop.run,
                open_loop.Plan(
                    target.host, target.port, target.pid, [pings], plan.warmup, plan.seconds
                ),
            )
            months = upkeep.result()
        rows = world.count_rows(on)
    outcome = load.outcomes["pings"]
    return {
        **outcome.latency,
        "errors": outcome.errors,
        "statuses": outcome.statuses,
        "achieved_rate": outcome.per_second,
        "slip_p99_ms": load.slip_p99_ms,
        **months._asdict(),
        "acknowledged": outcome.acknowledged,
        "rows": rows,
        "valid": load.kept_schedule
        and outcome.per_second >= open_loop.LEAST_RATE_SHARE * plan.rate
        and rows == outcome.acknowledged
        and months.made_seconds < months.read_seconds <= months.dropped_seconds,
        "postgresql": on.servers.version,
    }


def _upkeep(plan: Plan, on: world.World, beside: concurrent.futures.ThreadPoolExecutor) -> _Months:
    now = datetime.datetime.now(datetime.UTC)
    settings = config.Config()
    with db.direct(on.url) as connection:
        partitions.ensure(connection, detail_days=_OLD_DAYS, now=now)
        # The generator connects its phones meanwhile.
        time.sleep(2 * plan.warmup)
        started = time.monotonic()
        reading = beside.submit(_read, plan, on)
        time.sleep(1.0)
        kept = partitions.run_once(connection, settings, now + _AHEAD)
        made_seconds = time.monotonic() - started
        if not kept.made:
            raise click.ClickException("no month was made")
        oldest = partitions.attached(connection)[0]
        removal.drop(connection, partitions.name(oldest))
        dropped_seconds = time.monotonic() - started
    return _Months(
        round(made_seconds, 2), round(dropped_seconds, 2), round(reading.result() - started, 2)
    )


def _read(plan: Plan, on: world.World) -> float:
    """Holds the table and all of its months for so long; when it ended."""
    with psycopg.connect(on.url, autocommit=True) as reader:
        reader.execute("SET statement_timeout = 0")
        reader.execute("SELECT count(*), pg_sleep(%s) FROM geolocation_data", [plan.reader])
    return time.monotonic()
