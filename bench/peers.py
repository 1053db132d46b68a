"""The same pings to the service, to FastAPI with plain INSERTs or executemany, and to psql's COPY."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import click

from bench import (
    bodies,
    ceiling,
    closed_loop,
    comparison,
    fastapi_peer,
    generator,
    ingest,
    open_loop,
    service,
    stream,
    usage,
    world,
)
from geoingest.access import provision

_STUDENTS = 3500
# Backlogs of two days ago: their instants never meet those of the pings of now.
_BACKLOG_AGE_MS = 2 * 86_400_000
_STORED_BATCH = b'"stored":100,"duplicate":0,"rejected":[]}'
_OURS_PATH = "/v1/pings"
_FASTAPI = ("bench.fastapi_peer",)


class Plan(NamedTuple):
    """The options; `rate` is that of the open loop, pings per second, the same for all."""

    rounds: int = 3
    seconds: float = 3.0
    warmup: float = 1.0
    sockets: int = 128
    batch_sockets: int = 64
    rate: float = 300.0


class Peer(NamedTuple):
    """A running server, and where it takes pings."""

    name: str
    target: service.Service
    path: str


def run(plan: Plan) -> dict[str, object]:
    """All rounds on one database, which grows for all alike."""
    with world.databases(with_replica=False) as on:
        enrolled = world.enrol(on, _STUDENTS)
        with _running(on) as peers:
            course = _Course(plan, on, enrolled)
            rounds = [course.round(peers, number) for number in range(plan.rounds)]
        rows = world.count_rows(on)
    result = comparison.result(rounds)
    valid = rows == course.acknowledged and all(
        _kept_rate(laps.steady, plan.rate) for one in rounds for laps in one.peers.values()
    )
    acknowledged = {"valid": valid, "rows": rows, "acknowledged": course.acknowledged}
    return {**result, **acknowledged, "postgresql": on.servers.version}


@contextlib.contextmanager
def _running(on: world.World) -> Iterator[list[Peer]]:
    """All servers for the whole time: those not at their turn only wait."""
    with contextlib.ExitStack() as stack:
        fastapi = stack.enter_context(service.running(on, module=_FASTAPI))
        ours = [
            stack.enter_context(service.running(on, settings={"GEOINGEST_WORKERS": workers}))
            for workers in ("1", "2")
        ]
        yield [
            Peer("naive", fastapi, fastapi_peer.NAIVE_PATH),
            Peer("executemany", fastapi, fastapi_peer.EXECUTEMANY_PATH),
            Peer("ours_1", ours[0], _OURS_PATH),
            Peer("ours_2", ours[1], _OURS_PATH),
        ]


class _Course:
    """What the laps of all rounds share."""

    def __init__(self, plan: Plan, on: world.World, enrolled: Sequence[provision.Enrolled]) -> None:
        self.acknowledged = 0
        self._plan = plan
        self._on = on
        self._database_pid = on.servers.primary.pid
        self._tokens = [one.device_token for one in enrolled]
        self._start_ms = time.time_ns() // 1_000_000 - _BACKLOG_AGE_MS
        self._next_backlog = 0

    def round(self, peers: Sequence[Peer], number: int) -> comparison.Round:
        """Each peer in turn, then psql."""
        laps = {peer.name: self._laps(peer) for peer in peers}
        file = ceiling.prepare(self._on, students=_STUDENTS, start_ms=self._start_ms, series=number)
        before = usage.cpu_seconds(self._database_pid)
        rows_per_s = ceiling.rows_per_second(self._on, file)
        cpu = usage.since(before, usage.cpu_seconds(self._database_pid))
        click.echo(f"  psql {rows_per_s:.0f} rows/s", err=True)
        self.acknowledged += file.rows
        return comparison.Round(laps, rows_per_s, None if cpu is None else cpu / file.rows * 1e6)

    def _laps(self, peer: Peer) -> comparison.Laps:
        port = peer.target.port
        singles = bodies.Singles(self._tokens, port=port, path=peer.path)
        backlogs = bodies.Backlogs(self._tokens, port=port, start_ms=self._start_ms, path=peer.path)
        single = self._lap(peer, singles, self._plan.sockets, ingest.STORED, first=0)
        batch = self._lap(
            peer, backlogs, self._plan.batch_sockets, _STORED_BATCH, first=self._next_backlog
        )
        self._next_backlog = batch.following
        steady = self._steady(peer, singles)
        self.acknowledged += (
            single.acknowledged
            + batch.acknowledged * bodies.BACKLOG_PINGS
            + steady.outcomes["pings"].acknowledged
        )
        return comparison.Laps(single, batch, steady)

    def _lap(
        self, peer: Peer, requests: bodies.Requests, sockets: int, ending: bytes, *, first: int
    ) -> closed_loop.Lap:
        return closed_loop.lap(
            peer.name,
            closed_loop.Plan(
                peer.target.host,
                peer.target.port,
                peer.target.pid,
                sockets,
                requests,
                first,
                ending,
                self._plan.warmup,
                self._plan.seconds,
                self._database_pid,
            ),
        )

    def _steady(self, peer: Peer, requests: bodies.Requests) -> open_loop.Load:
        phones = stream.Stream(
            "pings", self._plan.rate, self._plan.sockets, requests, (ingest.STORED,)
        )
        return generator.run(
            open_loop.run,
            open_loop.Plan(
                peer.target.host,
                peer.target.port,
                peer.target.pid,
                [phones],
                self._plan.warmup,
                self._plan.seconds,
                self._database_pid,
            ),
        )


def _kept_rate(load: open_loop.Load, rate: float) -> bool:
    achieved = load.outcomes["pings"].per_second
    return load.kept_schedule and achieved >= open_loop.LEAST_RATE_SHARE * rate
