"""A school district is put into the directory over HTTP, again and again, while phones post."""

from __future__ import annotations

import concurrent.futures
import http.client
import threading
import time
from typing import NamedTuple

import click
import orjson

from bench import bodies, generator, ingest, open_loop, service, stream, world
from geoingest import db
from geoingest.access import provision

_STUDENTS_OF_SCHOOL = 1_000
_STUDENTS_OF_CLASS = 25
_PATIENCE_SECONDS = 150.0


class Plan(NamedTuple):
    """The options; the imports follow each other for as long as pings are measured."""

    lines: int = 100_000
    rate: float = 500.0
    devices: int = 500
    seconds: float = 45.0
    warmup: float = 5.0


def run(plan: Plan) -> dict[str, object]:
    """Pings alone for a while, then beside the imports."""
    with world.databases(with_replica=True) as on:
        tokens = [one.device_token for one in world.enrol(on, plan.devices)]
        with db.direct(on.url) as connection:
            _, admin = provision.add_viewer(connection, [], role="admin")
        with service.running(on) as target:
            singles = bodies.Singles(tokens, port=target.port)
            quiet = _pings(plan._replace(seconds=plan.seconds / 3), target, singles)
            imports = _Imports(plan, target, admin)
            with concurrent.futures.ThreadPoolExecutor(1) as beside:
                working = beside.submit(imports.run)
                try:
                    busy = _pings(plan, target, singles)
                finally:
                    imports.stop()
                working.result()
        rows = world.count_rows(on)
    alone, meanwhile = quiet.outcomes["pings"], busy.outcomes["pings"]
    acknowledged = alone.acknowledged + meanwhile.acknowledged
    return {
        **imports.seconds,
        "slowest_seconds": max(imports.seconds.values()),
        "imports": imports.count,
        **{f"quiet_{name}": value for name, value in alone.latency.items()},
        **meanwhile.latency,
        "errors": alone.errors + meanwhile.errors,
        "slip_p99_ms": busy.slip_p99_ms,
        "slip_max_ms": busy.slip_max_ms,
        "service_cpu_share": busy.service_cpu_share,
        "acknowledged": acknowledged,
        "rows": rows,
        "valid": quiet.kept_schedule
        and busy.kept_schedule
        and meanwhile.per_second >= open_loop.LEAST_RATE_SHARE * plan.rate
        and imports.is_complete
        and rows == acknowledged,
        "postgresql": on.servers.version,
    }


def _pings(plan: Plan, target: service.Service, singles: bodies.Singles) -> open_loop.Load:
    pings = stream.Stream("pings", plan.rate, plan.devices, singles, (ingest.STORED,))
    load = generator.run(
        open_loop.run,
        open_loop.Plan(target.host, target.port, target.pid, [pings], plan.warmup, plan.seconds),
    )
    latency = load.outcomes["pings"].latency
    click.echo(f"  pings p99 {latency['p99_ms']} ms, slowest {latency['max_ms']} ms", err=True)
    return load


class _Imports:
    """Everything once, then students who change class to and fro until it is told to stop."""

    def __init__(self, plan: Plan, target: service.Service, token: str) -> None:
        self._plan = plan
        self._target = target
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/x-ndjson"}
        self._is_over = threading.Event()
        self.seconds: dict[str, float] = {}
        self.count = 0

    @property
    def is_complete(self) -> bool:
        """Whether each was measured."""
        return len(self.seconds) == len(_KINDS)

    def stop(self) -> None:
        """After the one that is under way."""
        self._is_over.set()

    def run(self) -> None:
        """Begins when the phones are connected and warmed up."""
        plan = self._plan
        time.sleep(plan.devices / open_loop.CONNECTS_PER_SECOND + plan.warmup)
        students = _students(plan.lines)
        self._put("schools", _schools(plan.lines), "added")
        self._put("classes", _classes(plan.lines), "added")
        for name, kind, body, outcome in (
            ("students_added_seconds", "students", students, "added"),
            ("students_unchanged_seconds", "students", students, "unchanged"),
            ("guardians_added_seconds", "guardians", _guardians(plan.lines), "added"),
            ("guardians_unchanged_seconds", "guardians", _guardians(plan.lines), "unchanged"),
            ("guardians_changed_seconds", "guardians", _guardians(plan.lines, 1), "changed"),
        ):
            self.seconds[name] = self._put(kind, body, outcome)
        moved = 0
        while not self._is_over.is_set():
            moved = 1 - moved
            seconds = self._put("students", _students(plan.lines, moved), "changed")
            self.seconds.setdefault("students_changed_seconds", seconds)

    def _put(self, kind: str, body: bytes, outcome: str) -> float:
        connection = http.client.HTTPConnection(
            self._target.host, self._target.port, timeout=_PATIENCE_SECONDS
        )
        started = time.perf_counter()
        connection.request("PUT", f"/v1/admin/{kind}", body, self._headers)
        answer = connection.getresponse()
        text = answer.read()
        seconds = round(time.perf_counter() - started, 2)
        connection.close()
        if answer.status != 200 or not orjson.loads(text)[outcome]:
            raise click.ClickException(f"{kind}: {answer.status} {text.decode()}")
        click.echo(f"  {kind:10} {seconds:7.2f} s {text.decode()}", err=True)
        self.count += 1
        return seconds


_KINDS = (
    "students_added_seconds",
    "students_unchanged_seconds",
    "students_changed_seconds",
    "guardians_added_seconds",
    "guardians_unchanged_seconds",
    "guardians_changed_seconds",
)


def _schools(count: int) -> bytes:
    numbers = range(count // _STUDENTS_OF_SCHOOL + 1)
    return b"".join(
        b'{"external_id":"sc-%d","time_zone":"Europe/Berlin"}\n' % one for one in numbers
    )


def _classes(count: int) -> bytes:
    """One more than has students, for the last to move to."""
    per_school = _STUDENTS_OF_SCHOOL // _STUDENTS_OF_CLASS
    numbers = range(count // _STUDENTS_OF_CLASS + 2)
    return b"".join(
        b'{"external_id":"cl-%d","school":"sc-%d"}\n'
        % (one, min(one // per_school, count // _STUDENTS_OF_SCHOOL))
        for one in numbers
    )


def _students(count: int, moved: int = 0) -> bytes:
    return b"".join(
        b'{"external_id":"st-%d","class":"cl-%d"}\n' % (one, one // _STUDENTS_OF_CLASS + moved)
        for one in range(count)
    )


def _guardians(count: int, hours_only: int = 0) -> bytes:
    """One for two lines, that is students."""
    return b"".join(
        b'{"external_id":"gu-%d","email":"gu-%d@example.org","student":"st-%d","school_hours_only":%s}\n'
        % (one // 2, one // 2, one, b"true" if hours_only else b"false")
        for one in range(count)
    )
