"""One kind of request while it runs: its sockets, who is free, what became of each start."""

from __future__ import annotations

import asyncio
import collections
import random
from collections.abc import Coroutine
from typing import NamedTuple

from bench import bodies, phones, stats

_PATIENCE_SECONDS = 10.0


class Stream(NamedTuple):
    """How many per second, over how many sockets, and which endings of an answer are right.

    `refusals` are statuses that are answers, too, and no errors.
    """

    name: str
    per_second: float
    sockets: int
    requests: bodies.Requests
    endings: tuple[bytes, ...]
    refusals: tuple[int, ...] = ()


class Outcome(NamedTuple):
    """What became of a stream; right answers by ending, `acknowledged` with those of the warm-up.

    `statuses` are of the measured time, and of errors whenever they came.
    """

    latency: dict[str, float | None]
    per_second: float
    errors: int
    statuses: dict[int, int]
    endings: dict[bytes, int]
    acknowledged: int
    # Chosen sockets that were busy, and starts for which none was free.
    busy: int
    waited: int


class Run:
    """The owner of a stream's phones; starts before `zero` are warm-up."""

    def __init__(self, stream: Stream, *, host: str, port: int) -> None:
        self.name = stream.name
        self.zero = float("inf")
        self._stream = stream
        self._host = host
        self._port = port
        self._order: collections.deque[phones.Phone] = collections.deque()
        self._unsent: collections.deque[float] = collections.deque()
        self._under_way = 0
        self._quiet = asyncio.Event()
        self._closing = False
        self._connects: set[asyncio.Task[None]] = set()
        self._samples: list[tuple[float, float]] = []
        self._last_answer_at = 0.0
        self._statuses: collections.Counter[int] = collections.Counter()
        self._endings: collections.Counter[bytes] = collections.Counter()
        self._acknowledged = self._errors = self._busy = self._waited = 0

    @property
    def samples(self) -> list[tuple[float, float]]:
        """Of each right answer when its request was meant to start, after `zero`, and its latency."""
        return self._samples

    async def connect(self, *, per_second: float) -> None:
        """Opens all sockets; their random order is kept, so that each rests the longest it can."""
        made = await phones.connect(
            self,
            host=self._host,
            port=self._port,
            count=self._stream.sockets,
            per_second=per_second,
        )
        random.Random(3).shuffle(made)
        self._order.extend(made)

    def send(self, due: float) -> None:
        """Sends on the next free phone; with none free, on the first that becomes free."""
        self._under_way += 1
        for _ in range(len(self._order)):
            phone = self._order[0]
            self._order.rotate(-1)
            if phone.is_free:
                phone.send(self._stream.requests.request(phone.number), due)
                return
            self._busy += 1
        self._waited += 1
        self._unsent.append(due)

    async def finish(self) -> None:
        """Waits for the answers under way, but not for ever, and closes all sockets."""
        self._quiet.clear()
        if self._under_way:
            try:
                await asyncio.wait_for(self._quiet.wait(), _PATIENCE_SECONDS)
            except TimeoutError:
                self._errors += self._under_way
        self._closing = True
        for task in self._connects:
            task.cancel()
        for phone in self._order:
            phone.close()

    def outcome(self, seconds: float) -> Outcome:
        """The numbers; answers that never came are errors, and errors of the warm-up count too."""
        span = max(seconds, self._last_answer_at - self.zero)
        return Outcome(
            stats.milliseconds(latency for _, latency in self._samples),
            round(len(self._samples) / span, 2),
            self._errors,
            dict(self._statuses),
            dict(self._endings),
            self._acknowledged,
            self._busy,
            self._waited,
        )

    def answered(self, phone: phones.Phone, status: int, tail: bytes) -> None:
        """Notes the answer; the phone may send what waited for a free one."""
        due = phone.due
        if due is None:
            return
        phone.due = None
        self._note(due, asyncio.get_running_loop().time(), status, tail)
        if self._unsent:
            phone.send(self._stream.requests.request(phone.number), self._unsent.popleft())
        self._end_one()

    def lost(self, phone: phones.Phone) -> None:
        """An answer it waited for is an error; the phone connects again."""
        if self._closing:
            return
        if phone.due is not None:
            phone.due = None
            self._errors += 1
            self._end_one()
        self._start(phones.connect_again(phone, host=self._host, port=self._port))

    def _start(self, connect: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(connect)
        self._connects.add(task)
        task.add_done_callback(self._connects.discard)

    def _end_one(self) -> None:
        self._under_way -= 1
        if not self._under_way:
            self._quiet.set()

    def _note(self, due: float, now: float, status: int, tail: bytes) -> None:
        ending = next((one for one in self._stream.endings if tail.endswith(one)), None)
        is_counted = due >= self.zero
        if status >= 300 or ending is None:
            is_error = status not in self._stream.refusals
            self._errors += is_error
            # Those of the warm-up, too: an error without its status tells nobody anything.
            self._statuses[status] += is_counted or is_error
            return
        self._acknowledged += 1
        if is_counted:
            self._statuses[status] += 1
            self._samples.append((due - self.zero, now - due))
            self._last_answer_at = now
            self._endings[ending] += 1
