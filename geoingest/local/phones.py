"""Simulated phones: real HTTP with keep-alive, and the patience that each phone's app has."""

from __future__ import annotations

import asyncio
import datetime
import random
import time
from collections.abc import Iterable, Sequence

import aiohttp

from geoingest.local import answers, clients, outbox, recorders, tally, traces

_TIMEOUT_SECONDS = 15.0


class RefusedError(Exception):
    """An answer that coming again will not change, such as 401."""


class Phone:
    """One device: its app posts what was recorded, one request after the other."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        token: str,
        sums: tally.Tally,
        *,
        client: clients.Client,
        pause_factor: float = 1.0,
    ) -> None:
        self._session = session
        self._url = url.rstrip("/")
        self._token = token
        self._sums = sums
        self._client = client
        self.outbox = outbox.Outbox(client, pause_factor=pause_factor)

    def record(self, fixes: Sequence[traces.Fix]) -> None:
        """Queues fixes; the requests are sent by the others."""
        before = len(self.outbox.dropped)
        self.outbox.add(fixes)
        self._sums.posted += len(fixes)
        self._sums.dropped += len(self.outbox.dropped) - before

    async def live(self, recorder: recorders.Recorder, interval_seconds: float) -> None:
        """Records each interval and posts by the app's rules; ends only when cancelled."""
        # Phones are not in step with each other.
        due = time.monotonic() + random.uniform(0, interval_seconds)  # noqa: S311  # no secret
        while True:
            await _sleep_until(min(due, self.outbox.due_at))
            if time.monotonic() >= due:
                self.record(recorder.recorded(_now()))
                due = max(due + interval_seconds, time.monotonic())
            await self._post()

    async def drain(self) -> None:
        """Posts until nothing is left; raises RefusedError when that will never be."""
        while len(self.outbox):
            await _sleep_until(self.outbox.due_at)
            await self._post()

    async def _post(self) -> None:
        """One request, where one is due; cancelled, it is one that had no answer."""
        parcel = self.outbox.take(time.monotonic())
        if parcel is None:
            return
        before = len(self.outbox.dropped)
        started = time.perf_counter()
        answer: answers.Answer | None = None
        try:
            request = self._client.write(parcel, self._token)
            async with self._session.request(
                request.method,
                self._url + request.target,
                data=request.body or None,
                headers=request.headers,
            ) as got:
                answer = answers.Answer(
                    got.status, got.content_type, await got.read(), _retry_after_seconds(got)
                )
        except (aiohttp.ClientError, TimeoutError, OSError):
            pass
        finally:
            fate = self.outbox.answered(answer, time.monotonic())
            self._sums.answered(answer)
            self._sums.dropped += len(self.outbox.dropped) - before
        if answer is not None and fate == "taken":
            seconds = time.perf_counter() - started
            self._sums.taken(len(parcel.fixes), answer.body, seconds)
        if answer is not None and fate == "hopeless":
            text = answer.body.decode(errors="replace")
            raise RefusedError(f"the service answers {answer.status}: {text}")


async def live(
    url: str,
    tokens: Sequence[str],
    sums: tally.Tally,
    *,
    variants: Sequence[clients.Client],
    interval_seconds: float,
    trips: Sequence[traces.Trip],
) -> None:
    """Every phone posts each interval what it recorded since; ends only when cancelled."""
    start = _now()
    async with _session(len(tokens)) as session, asyncio.TaskGroup() as group:
        for number, token in enumerate(tokens):
            phone = Phone(session, url, token, sums, client=variants[number % len(variants)])
            recorder: recorders.Recorder
            if trips:
                first = number % len(trips)
                recorder = recorders.Replay([*trips[first:], *trips[:first]], start)
            else:
                recorder = recorders.Walk(number, interval_seconds, start)
            group.create_task(phone.live(recorder, interval_seconds))


async def flood(
    url: str,
    tokens: Sequence[str],
    sums: tally.Tally,
    *,
    variants: Sequence[clients.Client],
    trips: Sequence[traces.Trip],
    until: datetime.datetime,
) -> None:
    """Posts all trips once, as fast as they are taken, shifted so that the last fix is at `until`."""
    by = until - max(fix.timestamp for trip in trips for fix in trip)
    async with _session(len(tokens)) as session, asyncio.TaskGroup() as group:
        for number, token in enumerate(tokens):
            phone = Phone(session, url, token, sums, client=variants[number % len(variants)])
            mine = [traces.shifted(trip, by) for trip in trips[number :: len(tokens)]]
            group.create_task(_flood_one(phone, mine))


async def _flood_one(phone: Phone, trips: Iterable[traces.Trip]) -> None:
    for trip in trips:
        phone.record(trip)
        await phone.drain()


def _retry_after_seconds(got: aiohttp.ClientResponse) -> float | None:
    found = got.headers.get("Retry-After")
    return None if found is None else float(found)


async def _sleep_until(moment: float) -> None:
    await asyncio.sleep(max(0.0, moment - time.monotonic()))


def _session(phones: int) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=max(1, phones), keepalive_timeout=60),
        timeout=aiohttp.ClientTimeout(total=_TIMEOUT_SECONDS),
    )


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
