"""Closed loop: a few connections, each sending its next request on the answer; tells capacity, not latency."""

from __future__ import annotations

import asyncio
import time
from typing import NamedTuple

import click

from bench import bodies, generator, phones, usage

_PATIENCE_SECONDS = 10.0
_CONNECTS_PER_SECOND = 1000.0


class Plan(NamedTuple):
    """What to send, and whose CPU time to read; `first` is the number of the first request."""

    host: str
    port: int
    service_pid: int
    sockets: int
    requests: bodies.Requests
    first: int
    ending: bytes
    warmup_seconds: float
    seconds: float
    database_pid: int | None = None


class Lap(NamedTuple):
    """What was answered within the measured seconds, and in all with warm-up and end."""

    per_second: float
    acknowledged: int
    errors: int
    # The number of the next request: nothing is sent twice.
    following: int
    service_us_per_request: float | None
    database_us_per_request: float | None
    service_cpu_share: float | None
    own_cpu_share: float


class _Moment(NamedTuple):
    answers: int
    seconds: float
    own_cpu: float
    service_cpu: float | None
    database_cpu: float | None


def lap(name: str, plan: Plan) -> Lap:
    """Runs it in a process of its own and tells of it."""
    done = generator.run(run, plan)
    click.echo(
        f"  {name:16} {done.per_second:9.0f} requests/s, errors {done.errors},"
        f" cores: service {done.service_cpu_share}, generator {done.own_cpu_share}",
        err=True,
    )
    return done


async def run(plan: Plan) -> Lap:
    """Connects, warms up, measures, and waits for what is still under way."""
    generator.allow_sockets(plan.sockets)
    load = _Load(plan)
    made = await phones.connect(
        load,
        host=plan.host,
        port=plan.port,
        count=plan.sockets,
        per_second=_CONNECTS_PER_SECOND,
    )
    generator.still_memory()
    for phone in made:
        load.send(phone)
    await asyncio.sleep(plan.warmup_seconds)
    before = load.moment()
    await asyncio.sleep(plan.seconds)
    after = load.moment()
    await load.finish()
    for phone in made:
        phone.close()
    answers, seconds = after.answers - before.answers, after.seconds - before.seconds
    service = usage.since(before.service_cpu, after.service_cpu)
    database = usage.since(before.database_cpu, after.database_cpu)
    return Lap(
        round(answers / seconds, 1),
        load.acknowledged,
        load.errors,
        load.number,
        None if service is None or not answers else round(service / answers * 1e6, 1),
        None if database is None or not answers else round(database / answers * 1e6, 1),
        None if service is None else round(service / seconds, 3),
        round((after.own_cpu - before.own_cpu) / seconds, 3),
    )


class _Load:
    """The owner of the phones."""

    def __init__(self, plan: Plan) -> None:
        self.number = plan.first
        self.acknowledged = self.errors = 0
        self._request = plan.requests.request
        self._ending = plan.ending
        self._service_pid, self._database_pid = plan.service_pid, plan.database_pid
        self._under_way = 0
        self._finishing = False
        self._quiet = asyncio.Event()

    def send(self, phone: phones.Phone) -> None:
        """Sends the next request on this phone."""
        number = self.number
        self.number = number + 1
        self._under_way += 1
        phone.send(self._request(number), 0.0)

    def answered(self, phone: phones.Phone, status: int, tail: bytes) -> None:
        """Counts the answer and sends the next request."""
        phone.due = None
        if status < 300 and tail.endswith(self._ending):
            self.acknowledged += 1
        else:
            self.errors += 1
        if not self._finishing:
            self.send(phone)
        self._end_one()

    def lost(self, phone: phones.Phone) -> None:
        """An answer it waited for is an error; the others go on."""
        if phone.due is not None:
            phone.due = None
            self.errors += 1
            self._end_one()

    def moment(self) -> _Moment:
        """Counters at this instant."""
        return _Moment(
            self.acknowledged,
            time.perf_counter(),
            time.process_time(),
            usage.cpu_seconds(self._service_pid),
            usage.cpu_seconds(self._database_pid),
        )

    async def finish(self) -> None:
        """Sends nothing more and waits for the answers under way; those that never come are errors."""
        self._finishing = True
        if self._under_way:
            try:
                await asyncio.wait_for(self._quiet.wait(), _PATIENCE_SECONDS)
            except TimeoutError:
                self.errors += self._under_way

    def _end_one(self) -> None:
        self._under_way -= 1
        if not self._under_way:
            self._quiet.set()
