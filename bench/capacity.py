"""How much fits through: durable single pings and batches against bare HTTP, naive INSERTs and psql."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from typing import NamedTuple

import click

from bench import bodies, ceiling, closed_loop, ingest, naive, service, world
from geoingest.access import provision

_STUDENTS = 3500
# Backlogs of two days ago: their instants never meet those of the pings of now.
_BACKLOG_AGE_MS = 2 * 86_400_000
_STORED_BATCH = b'"stored":100,"duplicate":0,"rejected":[]}'
_SERVER = ("bench.naive",)


class Plan(NamedTuple):
    """The options."""

    rounds: int = 5
    seconds: float = 4.0
    warmup: float = 1.0
    sockets: int = 128
    batch_sockets: int = 64


class Laps(NamedTuple):
    """One round."""

    bare: closed_loop.Lap
    durable: closed_loop.Lap
    naive: closed_loop.Lap
    batch: closed_loop.Lap
    psql_rows_per_s: float


def run(plan: Plan) -> dict[str, object]:
    """All rounds on one server and one database, which grows for all alike."""
    with world.databases(with_replica=False) as on:
        enrolled = world.enrol(on, _STUDENTS)
        with service.running(on, module=_SERVER) as target:
            course = _Course(plan, on, target, enrolled)
            rounds = [course.round(number) for number in range(plan.rounds)]
        rows = world.count_rows(on)
    result = _result(rounds, rows=rows, acknowledged=course.acknowledged)
    return {**result, "postgresql": on.servers.version}


class _Course:
    """What the laps of all rounds share."""

    def __init__(
        self,
        plan: Plan,
        on: world.World,
        target: service.Service,
        enrolled: Sequence[provision.Enrolled],
    ) -> None:
        self.acknowledged = 0
        self._plan = plan
        self._on = on
        self._target = target
        self._tokens = [one.device_token for one in enrolled]
        self._start_ms = time.time_ns() // 1_000_000 - _BACKLOG_AGE_MS
        self._next_backlog = 0

    def round(self, number: int) -> Laps:
        """The five in turn."""
        bare = self._singles("bare", naive.BARE_PATH, b"")
        durable = self._singles("durable", "/v1/pings", ingest.STORED)
        plainly = self._singles("naive", naive.NAIVE_PATH, ingest.STORED)
        batch = self._backlogs()
        file = ceiling.prepare(self._on, students=_STUDENTS, start_ms=self._start_ms, series=number)
        psql = ceiling.rows_per_second(self._on, file)
        click.echo(f"  psql             {psql:9.0f} rows/s", err=True)
        self.acknowledged += (
            durable.acknowledged
            + plainly.acknowledged
            + batch.acknowledged * bodies.BACKLOG_PINGS
            + file.rows
        )
        return Laps(bare, durable, plainly, batch, psql)

    def _singles(self, name: str, path: str, ending: bytes) -> closed_loop.Lap:
        requests = bodies.Singles(self._tokens, port=self._target.port, path=path)
        return self._lap(name, requests, self._plan.sockets, ending, first=0)

    def _backlogs(self) -> closed_loop.Lap:
        requests = bodies.Backlogs(self._tokens, port=self._target.port, start_ms=self._start_ms)
        lap = self._lap(
            "batch", requests, self._plan.batch_sockets, _STORED_BATCH, first=self._next_backlog
        )
        self._next_backlog = lap.following
        return lap

    def _lap(
        self, name: str, requests: bodies.Requests, sockets: int, ending: bytes, *, first: int
    ) -> closed_loop.Lap:
        return closed_loop.lap(
            name,
            closed_loop.Plan(
                self._target.host,
                self._target.port,
                self._target.pid,
                sockets,
                requests,
                first,
                ending,
                self._plan.warmup,
                self._plan.seconds,
            ),
        )


def _result(rounds: Sequence[Laps], *, rows: int, acknowledged: int) -> dict[str, object]:
    series: dict[str, list[float]] = {
        "bare_rps": [one.bare.per_second for one in rounds],
        "durable_rps": [one.durable.per_second for one in rounds],
        "naive_rps": [one.naive.per_second for one in rounds],
        "batch_pings_per_s": [round(one.batch.per_second * bodies.BACKLOG_PINGS) for one in rounds],
        "psql_rows_per_s": [round(one.psql_rows_per_s) for one in rounds],
    }
    # Within each round, so that a slow minute of the machine weighs on both sides.
    for name, part, whole in (
        ("durable_to_bare", "durable_rps", "bare_rps"),
        ("durable_to_naive", "durable_rps", "naive_rps"),
        ("batch_to_copy", "batch_pings_per_s", "psql_rows_per_s"),
    ):
        series[name] = [
            round(one / other, 3) for one, other in zip(series[part], series[whole], strict=True)
        ]
    laps = {name: [getattr(one, name) for one in rounds] for name in Laps._fields[:4]}
    return {
        **{name: round(statistics.median(values), 3) for name, values in series.items()},
        "errors": sum(lap.errors for some in laps.values() for lap in some),
        "valid": rows == acknowledged,
        "rows": rows,
        "acknowledged": acknowledged,
        **{
            f"{name}_cpu_us": _median([lap.service_us_per_request for lap in some])
            for name, some in laps.items()
        },
        "service_cpu_share": {
            name: _median([lap.service_cpu_share for lap in some]) for name, some in laps.items()
        },
        "generator_cpu_share": {
            name: _median([lap.own_cpu_share for lap in some]) for name, some in laps.items()
        },
        "per_round": series,
    }


def _median(values: Sequence[float | None]) -> float | None:
    known = [one for one in values if one is not None]
    return round(statistics.median(known), 3) if known else None
