"""Families: a phone that posts and a guardian who asks, through any fault; every answer is checked."""

from __future__ import annotations

import asyncio
import datetime
import time
from typing import Any, NamedTuple

import aiohttp
import orjson

from geoingest.access import provision
from tests import conftest
from tests.oracle import told

_PAUSE_SECONDS = 0.02
_MAX_LAG = datetime.timedelta(seconds=5)
# Beside the lag that is allowed: a few probes, on a busy machine.
_SLACK = datetime.timedelta(seconds=2)


class Answer(NamedTuple):
    """Where a read was answered from; "" when it was refused."""

    source: str
    asked_at: float
    answered_at: float


class Family:
    """One student's phone and guardian; nothing but 200 and a clean 503 is any answer."""

    def __init__(self, student: provision.Enrolled, log: told.Log) -> None:
        self._student = student
        self._log = log
        self._path = f"/v1/students/{student.student_id}/location"
        self._as_device = {"Authorization": f"Bearer {student.device_token}"}
        self._as_viewer = {"Authorization": f"Bearer {student.viewer_token}"}
        # When a ping was acknowledged, and its timestamp.
        self._acked: list[tuple[datetime.datetime, datetime.datetime]] = []
        self.answers: list[Answer] = []

    async def run(self, url: str, stop: asyncio.Event) -> None:
        """Posts and asks, one after the other, until told to stop."""
        async with aiohttp.ClientSession(url) as session:
            while not stop.is_set():
                await self._post(session)
                await self._ask(session)
                await asyncio.sleep(_PAUSE_SECONDS)

    async def comes_from(self, source: str, *, seconds: float) -> None:
        """Returns once a question of now on is answered by this server."""
        asked_at = time.monotonic()
        await conftest.until(
            lambda: any(one.source == source for one in self.since(asked_at)), seconds=seconds
        )

    def since(self, moment: float) -> list[Answer]:
        """The answers to what was asked since then."""
        return [one for one in self.answers if one.asked_at >= moment]

    async def _post(self, session: aiohttp.ClientSession) -> None:
        timestamp = _now()
        ping = {"timestamp": timestamp, "latitude": 52.5, "longitude": 13.4}
        async with session.post(
            "/v1/pings", data=orjson.dumps(ping), headers=self._as_device
        ) as got:
            is_stored = await _is_answered(got)
        known = self._log.ok if is_stored else self._log.doubted
        known.add((self._student.student_id, timestamp, self._student.device_id))
        if is_stored:
            self._acked.append((_now(), timestamp))

    async def _ask(self, session: aiohttp.ClientSession) -> None:
        asked_at, started = _now(), time.monotonic()
        async with session.get(self._path, headers=self._as_viewer) as got:
            if got.status == 404:
                # Its first ping has not reached that server.
                assert (await got.json())["reason"] == "no_position"
                return
            answer = await got.json() if await _is_answered(got) else {"source": ""}
        self.answers.append(Answer(answer["source"], started, time.monotonic()))
        if answer["source"]:
            self._check(answer, asked_at)

    def _check(self, answer: dict[str, Any], asked_at: datetime.datetime) -> None:
        as_of = datetime.datetime.fromisoformat(answer["as_of"])
        assert asked_at - as_of < _MAX_LAG + _SLACK
        # All that was acknowledged before `as_of` is in the answer.
        known = next((ping for acked, ping in reversed(self._acked) if acked <= as_of), None)
        assert known is None or datetime.datetime.fromisoformat(answer["timestamp"]) >= known


async def _is_answered(got: aiohttp.ClientResponse) -> bool:
    if got.status != 200:
        assert (got.status, "Retry-After" in got.headers) == (503, True), await got.text()
    return got.status == 200


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
