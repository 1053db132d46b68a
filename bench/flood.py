"""More than the service can take, from many phones, for as long as told; open loop, one of several processes.

Each start takes the phone that has rested longest. With none free the start is held: it is counted and
not sent, as a phone that waits for an answer, or for its time to come again, keeps its next ping.
So what is offered is what was written to sockets, and latency counts from each attempt's own start:
the schedule's moment, or the end of the wait that a refusal asked for.
"""

from __future__ import annotations

import array
import asyncio
import collections
import random
import time
from typing import NamedTuple

from bench import aftermath, bodies, comebacks, generator, phones

_PATIENCE_SECONDS = 15.0
_CONNECTS_PER_SECOND = 1000.0
# For starts in one turn of the loop, when late: answers must be read, too.
_TURN_SECONDS = 0.005


class Plan(NamedTuple):
    """`requests` are those of `sockets` phones; `zero` is a moment of time.monotonic()."""

    host: str
    port: int
    requests: bodies.Requests
    sockets: int
    per_second: float
    # Refused phones keep the ping and come again when asked to; else they go on with the next.
    obeying: bool
    ending: bytes
    zero: float
    warmup_seconds: float
    seconds: float


async def run(plan: Plan) -> aftermath.Flooded:
    """Connects, waits for the common moment, floods, waits for what is under way."""
    generator.allow_sockets(plan.sockets)
    flood = _Flood(plan)
    made = await phones.connect(
        flood,
        host=plan.host,
        port=plan.port,
        count=plan.sockets,
        per_second=_CONNECTS_PER_SECOND,
    )
    random.Random(7).shuffle(made)
    flood.free.extend(made)
    generator.still_memory()
    cpu, started = time.process_time(), time.perf_counter()
    await flood.run()
    share = (time.process_time() - cpu) / (time.perf_counter() - started)
    for phone in made:
        phone.close()
    return flood.result(round(share, 3))


class _Flood:
    """The owner of the phones."""

    def __init__(self, plan: Plan) -> None:
        self.free: collections.deque[phones.Phone] = collections.deque()
        self._plan = plan
        self._loop = asyncio.get_running_loop()
        self._chooser = random.Random(plan.zero)
        self._next_at = plan.zero - plan.warmup_seconds
        self._end_at = plan.zero + plan.seconds
        self._turns = [0] * plan.sockets
        self._ended = self._loop.create_future()
        self._under_way = 0
        self._quiet = asyncio.Event()
        self._closing = False
        self._connects: set[asyncio.Task[None]] = set()
        self._accepted, self._refused, self._slips = (array.array("d") for _ in range(3))
        self._statuses: collections.Counter[int] = collections.Counter()
        self._comebacks = comebacks.Comebacks()
        self._held = self._acknowledged = self._errors = 0

    async def run(self) -> None:
        """Until the schedule's end and the last answer."""
        self._loop.call_at(self._next_at, self._start_due)
        await self._ended
        self._quiet.clear()
        if self._under_way:
            try:
                await asyncio.wait_for(self._quiet.wait(), _PATIENCE_SECONDS)
            except TimeoutError:
                self._errors += self._under_way
        self._closing = True
        for task in self._connects:
            task.cancel()

    def result(self, own_cpu_share: float) -> aftermath.Flooded:
        """The numbers."""
        return aftermath.Flooded(
            self._accepted,
            self._refused,
            self._slips,
            self._statuses,
            self._held,
            self._acknowledged,
            self._errors,
            self._comebacks,
            own_cpu_share,
        )

    def answered(self, phone: phones.Phone, status: int, tail: bytes) -> None:
        """Notes it; a refused phone that obeys rests, every other is free."""
        due, now = phone.due, self._loop.time()
        if due is None:
            return
        phone.due = None
        is_refusal = status in phones.REFUSALS
        is_stored = status < 300 and tail.endswith(self._plan.ending)
        self._acknowledged += is_stored
        self._errors += not is_stored and not is_refusal
        if due >= self._plan.zero:
            self._note(status, now - due, is_stored=is_stored, is_refusal=is_refusal)
        if status == phones.OVERLOADED:
            self._comebacks.note(now, phone.retry_after_seconds)
        if is_refusal and self._plan.obeying:
            again_at = now + phone.retry_after_seconds
            self._loop.call_at(again_at, self._come_again, phone, again_at)
        else:
            self._turns[phone.number] += 1
            self.free.append(phone)
        self._end_one()

    def lost(self, phone: phones.Phone) -> None:
        """An answer it waited for is an error; the phone connects again."""
        if self._closing:
            return
        if phone.due is not None:
            phone.due = None
            self._errors += 1
            self._turns[phone.number] += 1
            self.free.append(phone)
            self._end_one()
        again = phones.connect_again(phone, host=self._plan.host, port=self._plan.port)
        task = self._loop.create_task(again)
        self._connects.add(task)
        task.add_done_callback(self._connects.discard)

    def _note(self, status: int, seconds: float, *, is_stored: bool, is_refusal: bool) -> None:
        self._statuses[status] += 1
        if is_stored:
            self._accepted.append(seconds)
        elif is_refusal:
            self._refused.append(seconds)

    def _start_due(self) -> None:
        now = self._loop.time()
        turn_ends_at = now + _TURN_SECONDS
        while self._next_at <= now < turn_ends_at:
            self._start(self._next_at)
            self._next_at += self._chooser.expovariate(self._plan.per_second)
            now = self._loop.time()
        if now >= self._end_at:
            self._ended.set_result(None)
        elif self._next_at <= now:
            self._loop.call_soon(self._start_due)
        else:
            self._loop.call_at(self._next_at, self._start_due)

    def _start(self, due: float) -> None:
        phone = self.free.popleft() if self.free else None
        if phone is not None and phone.is_free:
            self._send(phone, due)
            return
        if phone is not None:
            # It is being connected again.
            self.free.append(phone)
        self._held += due >= self._plan.zero

    def _come_again(self, phone: phones.Phone, due: float) -> None:
        if due >= self._end_at:
            return
        if phone.is_free:
            self._send(phone, due)
        else:
            self.free.append(phone)

    def _send(self, phone: phones.Phone, due: float) -> None:
        if due >= self._plan.zero:
            self._slips.append(self._loop.time() - due)
        self._under_way += 1
        turn = self._turns[phone.number]
        phone.send(self._plan.requests.request(phone.number + turn * self._plan.sockets), due)

    def _end_one(self) -> None:
        self._under_way -= 1
        if not self._under_way:
            self._quiet.set()
