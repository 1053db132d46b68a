"""All phones come online in the same moment, each with what it has kept, and send until nothing is left."""

from __future__ import annotations

import asyncio
import collections
from typing import NamedTuple

from bench import backlog, comebacks, generator, phones, stats


class Plan(NamedTuple):
    """Where to, with what, and how long at most."""

    host: str
    port: int
    kept: backlog.Backlog
    patience_seconds: float


class Drained(NamedTuple):
    """What became of it; latency is that of answers 200, the first of a phone from the storm's start.

    `first` is from the storm's start to each phone's first answer, whatever it said.
    """

    seconds: float
    latency: dict[str, float | None]
    first: dict[str, float | None]
    # Pings: all there were, those answered as stored, those answered as stored before.
    kept: int
    stored: int
    duplicate: int
    refused: dict[int, int]
    errors: int
    comebacks: comebacks.Comebacks


async def run(plan: Plan) -> Drained:
    """Connects all at once, and returns when the last phone has nothing left or patience ends."""
    generator.allow_sockets(plan.kept.phones)
    generator.still_memory()
    storm = _Storm(plan)
    return await storm.run()


class _Storm:
    """The owner of the phones."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._kept = plan.kept
        self._loop = asyncio.get_running_loop()
        self._started_at = self._loop.time()
        self._parts = [0] * plan.kept.phones
        self._left = plan.kept.phones
        self._empty = asyncio.Event()
        self._resting: set[phones.Phone] = set()
        self._connects: set[asyncio.Task[None]] = set()
        self._latencies: list[float] = []
        self._first: dict[int, float] = {}
        self._refused: collections.Counter[int] = collections.Counter()
        self._comebacks = comebacks.Comebacks()
        self._stored = self._duplicate = self._errors = 0

    async def run(self) -> Drained:
        """The whole storm."""
        for number in range(self._kept.phones):
            self._connect(phones.Phone(self, number), self._started_at)
        try:
            await asyncio.wait_for(self._empty.wait(), self._plan.patience_seconds)
        except TimeoutError:
            self._errors += self._left
        return Drained(
            round(self._loop.time() - self._started_at, 2),
            stats.milliseconds(self._latencies),
            stats.milliseconds(self._first.values()),
            self._kept.all_pings,
            self._stored,
            self._duplicate,
            dict(self._refused),
            self._errors,
            self._comebacks,
        )

    def answered(self, phone: phones.Phone, status: int, tail: bytes) -> None:
        """The next request on 200; the same again, when it is time, on a refusal."""
        due, now = phone.due, self._loop.time()
        phone.due = None
        self._first.setdefault(phone.number, now - self._started_at)
        part = self._parts[phone.number]
        settled = self._kept.settled(phone.number, part, tail) if status == 200 else None
        if status in phones.REFUSALS:
            self._refused[status] += 1
            if status == phones.OVERLOADED:
                self._comebacks.note(now, phone.retry_after_seconds)
            self._resting.add(phone)
            self._loop.call_later(phone.retry_after_seconds, self._come_again, phone)
        elif due is None or settled is None:
            self._errors += 1
            self._end(phone)
        else:
            self._latencies.append(now - due)
            self._stored += settled.stored
            self._duplicate += settled.duplicate
            self._parts[phone.number] += 1
            self._send(phone, now)

    def lost(self, phone: phones.Phone) -> None:
        """An answer it waited for is an error; what it has left it sends on a new connection."""
        if phone.due is not None:
            phone.due = None
            self._errors += 1
        if phone not in self._resting and self._has_more(phone):
            self._connect(phone, self._loop.time())

    def _come_again(self, phone: phones.Phone) -> None:
        self._resting.discard(phone)
        now = self._loop.time()
        if phone.is_free:
            self._send(phone, now)
        else:
            self._connect(phone, now)

    def _connect(self, phone: phones.Phone, due: float) -> None:
        task = self._loop.create_task(self._connected(phone, due))
        self._connects.add(task)
        task.add_done_callback(self._connects.discard)

    async def _connected(self, phone: phones.Phone, due: float) -> None:
        await phones.connect_again(phone, host=self._plan.host, port=self._plan.port)
        self._send(phone, due)

    def _send(self, phone: phones.Phone, due: float) -> None:
        if self._has_more(phone):
            phone.send(self._kept.request(phone.number, self._parts[phone.number]), due)
        else:
            self._end(phone)

    def _end(self, phone: phones.Phone) -> None:
        """This one has nothing left, or cannot go on."""
        self._parts[phone.number] = -1
        phone.close()
        self._left -= 1
        if not self._left:
            self._empty.set()

    def _has_more(self, phone: phones.Phone) -> bool:
        part = self._parts[phone.number]
        return part >= 0 and self._kept.pings(phone.number, part) > 0
