"""Simulated phones: real HTTP with keep-alive, and the patience of a phone that gets a 503."""

from __future__ import annotations

import asyncio
import collections
import datetime
import random
import time
from collections.abc import Mapping, Sequence

import aiohttp
import orjson

from geoingest.local import recorders, traces

# What one phone sends at most in one request.
_MOST_PINGS = 100
_TIMEOUT_SECONDS = 15.0
_LONGEST_PAUSE_SECONDS = 30.0


class Tally:
    """What became of the pings so far; latencies in seconds."""

    def __init__(self) -> None:
        self.posted = 0
        self.stored = 0
        self.duplicate = 0
        self.rejected = 0
        self.refusals = 0
        self.unreachable = 0
        self.requests = 0
        self._latencies: collections.deque[float] = collections.deque(maxlen=10_000)

    @property
    def acked(self) -> int:
        """Pings the service answered for."""
        return self.stored + self.duplicate + self.rejected

    def answered(self, answer: Mapping[str, object], seconds: float) -> None:
        """One 200."""
        rejected = answer["rejected"]
        self.stored += int(str(answer["stored"]))
        self.duplicate += int(str(answer["duplicate"]))
        self.rejected += len(rejected) if isinstance(rejected, list) else 0
        self._latencies.append(seconds)

    def percentile_ms(self, share: float) -> float:
        """Of the last 10,000 answers."""
        ordered = sorted(self._latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1e3 if ordered else 0.0

    def summary(self) -> dict[str, float]:
        """The sums for a program to read."""
        return {
            "posted": self.posted,
            "stored": self.stored,
            "duplicate": self.duplicate,
            "rejected": self.rejected,
            "requests": self.requests,
            "answers_503": self.refusals,
            "unreachable": self.unreachable,
            "p50_ms": round(self.percentile_ms(0.5), 3),
            "p99_ms": round(self.percentile_ms(0.99), 3),
        }

    def line(self) -> str:
        """The progress line."""
        troubles = f", {self.refusals} x 503" if self.refusals else ""
        troubles += f", {self.unreachable} x unreachable" if self.unreachable else ""
        return (
            f"{self.posted} posted, {self.acked} acked,"
            f" p50 {self.percentile_ms(0.5):.1f} ms, p99 {self.percentile_ms(0.99):.1f} ms{troubles}"
        )


class RefusedError(Exception):
    """An answer that coming again will not change, such as 401."""


class Phone:
    """One device: what it has not been acknowledged yet stays with it."""

    def __init__(self, session: aiohttp.ClientSession, url: str, token: str, tally: Tally) -> None:
        self._session = session
        self._url = f"{url.rstrip('/')}/v1/pings"
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._tally = tally

    async def post(self, fixes: Sequence[traces.Fix]) -> None:
        """Sends all until they are acknowledged; raises RefusedError when that will never be."""
        for start in range(0, len(fixes), _MOST_PINGS):
            pings = [fix._asdict() for fix in fixes[start : start + _MOST_PINGS]]
            self._tally.posted += len(pings)
            await self._send(orjson.dumps(pings[0] if len(pings) == 1 else pings))

    async def _send(self, body: bytes) -> None:
        pause = 1.0
        while True:
            started = time.perf_counter()
            self._tally.requests += 1
            try:
                async with self._session.post(self._url, data=body, headers=self._headers) as got:
                    text = await got.read()
            except (aiohttp.ClientError, TimeoutError, OSError):
                self._tally.unreachable += 1
                await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311  # no secret
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
                continue
            if got.status == 200:
                self._tally.answered(orjson.loads(text), time.perf_counter() - started)
                return
            if got.status != 503:
                raise RefusedError(f"the service answers {got.status}: {text.decode()}")
            self._tally.refusals += 1
            await asyncio.sleep(float(got.headers.get("Retry-After", "1")))


async def live(
    url: str,
    tokens: Sequence[str],
    tally: Tally,
    *,
    interval_seconds: float,
    trips: Sequence[traces.Trip],
) -> None:
    """Every phone posts each interval what it recorded since; ends only when cancelled."""
    start = _now()
    async with _session(len(tokens)) as session, asyncio.TaskGroup() as group:
        for number, token in enumerate(tokens):
            phone = Phone(session, url, token, tally)
            recorder: recorders.Recorder
            if trips:
                first = number % len(trips)
                recorder = recorders.Replay([*trips[first:], *trips[:first]], start)
            else:
                recorder = recorders.Walk(number, interval_seconds, start)
            group.create_task(_live_one(phone, recorder, interval_seconds))


async def flood(
    url: str,
    tokens: Sequence[str],
    tally: Tally,
    *,
    trips: Sequence[traces.Trip],
    until: datetime.datetime,
) -> None:
    """Posts all trips once, as fast as they are taken, shifted so that the last fix is at `until`."""
    by = until - max(fix.timestamp for trip in trips for fix in trip)
    async with _session(len(tokens)) as session, asyncio.TaskGroup() as group:
        for number, token in enumerate(tokens):
            phone = Phone(session, url, token, tally)
            mine = [traces.shifted(trip, by) for trip in trips[number :: len(tokens)]]
            group.create_task(_flood_one(phone, mine))


async def _live_one(phone: Phone, recorder: recorders.Recorder, interval_seconds: float) -> None:
    # Phones are not in step with each other.
    due = time.monotonic() + random.uniform(0, interval_seconds)  # noqa: S311  # no secret
    while True:
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        await phone.post(recorder.recorded(_now()))
        due = max(due + interval_seconds, time.monotonic())


async def _flood_one(phone: Phone, trips: Sequence[traces.Trip]) -> None:
    for trip in trips:
        await phone.post(trip)


def _session(phones: int) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=max(1, phones), keepalive_timeout=60),
        timeout=aiohttp.ClientTimeout(total=_TIMEOUT_SECONDS),
    )


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
