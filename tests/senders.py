"""Phones that post pings never sent before, and keep what was not answered for."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import itertools
import time
from collections.abc import AsyncIterator, Sequence

import aiohttp
import orjson

from geoingest.access import provision
from tests import conftest
from tests.oracle import told

# Pings per request, in turn: singles and small arrays.
SIZES = (1, 1, 4, 1, 12)
# Of a phone's pings, for those that send some that are bad.
INVALID_EVERY = 50
_PAUSE_SECONDS = 0.02
_TIMEOUT_SECONDS = 20.0
_SETTLE_SECONDS = 30.0
_STEP = datetime.timedelta(milliseconds=1)


class Sender:
    """One phone: what had no answer or a 503, it sends again before anything new."""

    def __init__(
        self,
        student: provision.Enrolled,
        log: told.Log,
        *,
        sizes: Sequence[int] = SIZES,
        invalid_every: int = 0,
    ) -> None:
        self._student = student
        self._log = log
        self._sizes = itertools.cycle(sizes)
        self._invalid_every = invalid_every
        self._made = 0
        self._first_at = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
        self._kept: list[told.Key] = []
        self._headers = {"Authorization": f"Bearer {student.device_token}"}

    async def run(self, url: str, stop: asyncio.Event) -> None:
        """Posts with keep-alive, one request after the other, until told to stop."""
        async with session(url) as one:
            while not stop.is_set():
                await self._post_and_rest(one)

    async def settle(self, url: str) -> None:
        """Sends what it kept until that has an answer for good."""
        async with asyncio.timeout(_SETTLE_SECONDS), session(url) as one:
            while self._kept:
                await self._post_and_rest(one)

    async def post(self, session: aiohttp.ClientSession) -> told.Answer | None:
        """One request; without an answer for good its pings are sent again by the next one."""
        keys = self._kept or self._new(next(self._sizes))
        self._kept = keys
        sent_at = time.monotonic()
        body = self._body(keys)
        try:
            async with session.post("/v1/pings", data=body, headers=self._headers) as got:
                text = await got.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as exc:
            self._log.unanswered(keys, cut=not isinstance(exc, aiohttp.ClientConnectorError))
            return None
        assert got.status < 500 or (got.status, "Retry-After" in got.headers) == (503, True), text
        closes = got.headers.get("Connection", "").lower() == "close"
        answer = told.Answer(got.status, sent_at, time.monotonic(), closes)
        self._log.answered(keys, answer, orjson.loads(text))
        if answer.is_final:
            self._kept = []
        return answer

    async def _post_and_rest(self, session: aiohttp.ClientSession) -> None:
        answer = await self.post(session)
        if answer is None or answer.status != 200:
            await asyncio.sleep(_PAUSE_SECONDS)

    def _new(self, count: int) -> list[told.Key]:
        student = self._student
        numbers = range(self._made, self._made + count)
        self._made += count
        keys = [
            (student.student_id, self._first_at + number * _STEP, student.device_id)
            for number in numbers
        ]
        if self._invalid_every:
            self._log.invalid.update(
                key
                for number, key in zip(numbers, keys, strict=True)
                if number % self._invalid_every == self._invalid_every - 1
            )
        return keys

    def _body(self, keys: Sequence[told.Key]) -> bytes:
        invalid = self._log.invalid
        pings = [
            {"timestamp": key[1], "latitude": 91 if key in invalid else 52.5, "longitude": 13.4}
            for key in keys
        ]
        return orjson.dumps(pings[0] if len(pings) == 1 else pings)


def session(url: str) -> aiohttp.ClientSession:
    """A phone's HTTP, with a limit on its patience."""
    return aiohttp.ClientSession(url, timeout=aiohttp.ClientTimeout(total=_TIMEOUT_SECONDS))


@contextlib.asynccontextmanager
async def posting(
    url: str,
    school: Sequence[provision.Enrolled],
    log: told.Log,
    *,
    sizes: Sequence[int] = SIZES,
) -> AsyncIterator[None]:
    """A phone of each student posts for as long as the block lasts, and sends at last what it kept.

    The block begins when they are well under way.
    """
    stop = asyncio.Event()
    phones = [Sender(student, log, sizes=sizes, invalid_every=INVALID_EVERY) for student in school]
    async with asyncio.TaskGroup() as group:
        for phone in phones:
            group.create_task(phone.run(url, stop))
        try:
            await conftest.until(lambda: log.count(200) >= 5 * len(phones), seconds=30)
            yield
        finally:
            stop.set()
    await asyncio.gather(*(phone.settle(url) for phone in phones))
