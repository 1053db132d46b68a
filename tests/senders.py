"""Phones that post pings never sent before, and keep a log of what each was answered."""

from __future__ import annotations

import asyncio
import collections
import datetime
import itertools
import time
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeAlias

import aiohttp
import orjson

from geoingest.access import provision
from tests import conftest

# Student, timestamp, device: what makes a ping itself.
Key: TypeAlias = tuple[int, datetime.datetime, int]
# Pings per request, in turn: singles and small arrays.
SIZES = (1, 1, 4, 1, 12)
_PAUSE_SECONDS = 0.02
_TIMEOUT_SECONDS = 20.0
_STEP = datetime.timedelta(milliseconds=1)


class Answer(NamedTuple):
    """One request's answer; the moments are time.monotonic()'s."""

    status: int
    sent_at: float
    answered_at: float
    closes: bool


class Log:
    """The senders' side of the truth: each answer, and the key of each ping by what was said of it."""

    def __init__(self) -> None:
        self.ok: set[Key] = set()
        self.unknown: set[Key] = set()
        self.answers: list[Answer] = []
        self.cut = 0
        self.refused = 0

    def count(self, status: int, *, since: float = float("-inf")) -> int:
        """Answers with this status to requests sent since a moment."""
        return sum(1 for one in self.answers if one.status == status and one.sent_at >= since)

    def answered(self, keys: Sequence[Key], answer: Answer, body: dict[str, object]) -> None:
        """An answer came: with 200 every ping of it is stored, now or before."""
        self.answers.append(answer)
        if answer.status != 200:
            # A batch that failed in doubt may be there: 503 promises nothing.
            self.unknown.update(keys)
            return
        assert int(str(body["stored"])) + int(str(body["duplicate"])) == len(keys), body
        self.ok.update(keys)
        self.unknown.difference_update(keys)

    def unanswered(self, keys: Sequence[Key], *, cut: bool) -> None:
        """No answer came: stored or not, nobody can say. `cut`: on a connection that was there."""
        self.unknown.update(keys)
        self.cut += cut
        self.refused += not cut

    def lost(self, database: conftest.Database) -> set[Key]:
        """Pings that were answered for and are not in the table."""
        return self.ok - set(rows(database))

    def check(self, database: conftest.Database) -> None:
        """Everything answered for is there once, and nothing is there that was never sent."""
        there = rows(database)
        assert not self.ok - set(there), f"{len(self.ok - set(there))} acknowledged pings are lost"
        assert set(there.values()) <= {1}
        assert set(there) <= self.ok | self.unknown


class Sender:
    """One phone: what it has no 200 for, it sends again before anything new."""

    def __init__(
        self, student: provision.Enrolled, log: Log, *, sizes: Sequence[int] = SIZES
    ) -> None:
        self._student = student
        self._log = log
        self._sizes = itertools.cycle(sizes)
        self._next_at = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
        self._kept: list[Key] = []
        self._headers = {"Authorization": f"Bearer {student.device_token}"}

    async def run(self, url: str, stop: asyncio.Event) -> None:
        """Posts with keep-alive, one request after the other, until told to stop."""
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT_SECONDS)
        async with aiohttp.ClientSession(url, timeout=timeout) as session:
            while not stop.is_set():
                answer = await self.post(session)
                if answer is None or answer.status != 200:
                    await asyncio.sleep(_PAUSE_SECONDS)

    async def post(self, session: aiohttp.ClientSession) -> Answer | None:
        """One request; without a 200 its pings are sent again by the next one."""
        keys = self._kept or self._new(next(self._sizes))
        self._kept = keys
        sent_at = time.monotonic()
        try:
            async with session.post("/v1/pings", data=_body(keys), headers=self._headers) as got:
                text = await got.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as exc:
            self._log.unanswered(keys, cut=not isinstance(exc, aiohttp.ClientConnectorError))
            return None
        assert got.status == 200 or (got.status, "Retry-After" in got.headers) == (503, True), text
        closes = got.headers.get("Connection", "").lower() == "close"
        answer = Answer(got.status, sent_at, time.monotonic(), closes)
        self._log.answered(keys, answer, orjson.loads(text))
        if answer.status == 200:
            self._kept = []
        return answer

    def _new(self, count: int) -> list[Key]:
        student = self._student
        instants = [self._next_at + number * _STEP for number in range(count)]
        self._next_at += count * _STEP
        return [(student.student_id, at, student.device_id) for at in instants]


def rows(database: conftest.Database) -> collections.Counter[Key]:
    """How often each key is in the table."""
    found = database.query('SELECT student_id, "timestamp", device_id FROM geolocation_data')
    keys: Iterable[Key] = found  # type: ignore[assignment]  # as selected
    return collections.Counter(keys)


def _body(keys: Sequence[Key]) -> bytes:
    pings = [{"timestamp": at, "latitude": 52.5, "longitude": 13.4} for _, at, _ in keys]
    return orjson.dumps(pings[0] if len(pings) == 1 else pings)
