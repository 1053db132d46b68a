"""A phone that posts and guardians who ask, at the same time; every answer is checked."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from geoingest.access import provision
from tests import conftest

# Beside the lag that is allowed: a few probes, on a busy machine.
_SLACK = datetime.timedelta(seconds=2)


class Traffic:
    """Writes and reads of one student; what was answered, and from where the last answer came."""

    def __init__(
        self, running: conftest.Running, student: provision.Enrolled, *, max_lag_seconds: float
    ) -> None:
        self._client = running.client
        self._path = f"/v1/students/{student.student_id}/location"
        self._as_device = {"Authorization": f"Bearer {student.device_token}"}
        self._as_viewer = {"Authorization": f"Bearer {student.viewer_token}"}
        self._max_lag = datetime.timedelta(seconds=max_lag_seconds)
        # When a ping was acknowledged, and its timestamp.
        self._acked: list[tuple[datetime.datetime, datetime.datetime]] = []
        self.source = ""
        self.reads = 0
        self.writes = 0

    @contextlib.asynccontextmanager
    async def flowing(self, *, readers: int) -> AsyncIterator[None]:
        """Reads and writes for as long as the block lasts; any answer but a good one fails it."""
        await self._write()
        await self._replicated()
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(_repeat(self._write, stop))
            for _ in range(readers):
                group.create_task(_repeat(self._read, stop))
            try:
                yield
            finally:
                stop.set()

    async def comes_from(self, source: str, *, seconds: float) -> float:
        """Returns, with the seconds it took, once reads are answered by this server."""
        started = time.monotonic()
        await conftest.until(lambda: self.source == source, seconds=seconds)
        return time.monotonic() - started

    async def goes_on(self, *, reads: int) -> None:
        """Returns after so many more reads."""
        enough = self.reads + reads
        await conftest.until(lambda: self.reads >= enough, seconds=30)

    async def _replicated(self) -> None:
        """Returns once the first ping is there for whoever is asked."""
        async with asyncio.timeout(10):
            while True:
                async with self._client.get(self._path, headers=self._as_viewer) as got:
                    if got.status == 200:
                        return
                await asyncio.sleep(0.01)

    async def _write(self) -> None:
        timestamp = _now()
        ping = {"timestamp": timestamp.isoformat(), "latitude": 52.5, "longitude": 13.4}
        async with self._client.post("/v1/pings", json=ping, headers=self._as_device) as got:
            assert got.status == 200, await got.text()
        self._acked.append((_now(), timestamp))
        self.writes += 1

    async def _read(self) -> None:
        asked_at = _now()
        async with self._client.get(self._path, headers=self._as_viewer) as got:
            assert got.status == 200, await got.text()
            answer = await got.json()
        as_of = datetime.datetime.fromisoformat(answer["as_of"])
        assert asked_at - as_of < self._max_lag + _SLACK
        known = next((ping for acked, ping in reversed(self._acked) if acked <= as_of), None)
        # All that was acknowledged before `as_of` is in the answer.
        assert known is None or datetime.datetime.fromisoformat(answer["timestamp"]) >= known
        self.source = answer["source"]
        self.reads += 1


async def _repeat(once: Callable[[], Awaitable[None]], stop: asyncio.Event) -> None:
    while not stop.is_set():
        await once()
        await asyncio.sleep(0.01)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
