"""Students' phones, each with the model of an app on it and a network of its own before the service."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
from collections.abc import AsyncIterator, Sequence

import aiohttp

from geoingest.access import provision
from geoingest.local import clients, outbox, phones, tally, traces
from tests import gate
from tests.oracle import told

# Ten apps, one for each student of `school`.
APPS = [
    client
    for name, variants in clients.PROTOCOLS.items()
    if name != "native"
    for client in variants
]
# Half a minute is 60 ms.
PAUSE_FACTOR = 0.002
_INTERVAL_SECONDS = 0.03
_SETTLE_SECONDS = 20.0


class Handset:
    """One phone, and everything that it ever recorded."""

    def __init__(
        self,
        client: clients.Client,
        student: provision.Enrolled,
        network: gate.Gate,
        session: aiohttp.ClientSession,
    ) -> None:
        self.client = client
        self.student = student
        self.network = network
        self.sums = tally.Tally()
        self._phone = phones.Phone(
            session,
            network.url,
            student.device_token,
            self.sums,
            client=client,
            pause_factor=PAUSE_FACTOR,
        )
        self._first_at = _now().replace(microsecond=0) - datetime.timedelta(days=1)
        self._is_recording = True
        self.fixes: list[traces.Fix] = []

    @property
    def outbox(self) -> outbox.Outbox:
        """What it still has, and what it dropped."""
        return self._phone.outbox

    @property
    def keys(self) -> list[told.Key]:
        """Of everything recorded."""
        return [self.key(fix) for fix in self.fixes]

    def key(self, fix: traces.Fix) -> told.Key:
        """What it is stored under."""
        return (self.student.student_id, fix.timestamp, self.student.device_id)

    def record(self, fixes: Sequence[traces.Fix]) -> None:
        """Queues these."""
        self.fixes += fixes
        self._phone.record(fixes)

    def recorded(self, now: datetime.datetime) -> list[traces.Fix]:
        """A second of yesterday's walk each time it is asked."""
        if not self._is_recording:
            return []
        at = self._first_at + datetime.timedelta(seconds=len(self.fixes))
        fix = traces.Fix(at, 52.5, 13.25 + len(self.fixes) / 10_000)
        self.fixes.append(fix)
        return [fix]

    @contextlib.asynccontextmanager
    async def living(self) -> AsyncIterator[None]:
        """Records and posts for as long as the block lasts."""
        task = asyncio.create_task(self._phone.live(self, _INTERVAL_SECONDS))
        try:
            yield
        finally:
            self._is_recording = False
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def settle(self, *, seconds: float = _SETTLE_SECONDS) -> bool:
        """True once it has nothing left; False when that takes too long."""
        try:
            async with asyncio.timeout(seconds):
                await self._phone.drain()
        except TimeoutError:
            return False
        return True


@contextlib.asynccontextmanager
async def of(
    url: str,
    students: Sequence[provision.Enrolled],
    *,
    apps: Sequence[clients.Client] = tuple(APPS),
) -> AsyncIterator[list[Handset]]:
    """A phone with each of these apps, each of another student."""
    async with contextlib.AsyncExitStack() as stack:
        made = []
        for seed, (client, student) in enumerate(zip(apps, students, strict=False)):
            network = await stack.enter_async_context(gate.in_front_of(url, seed=seed))
            session = await stack.enter_async_context(aiohttp.ClientSession())
            made.append(Handset(client, student, network, session))
        yield made


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
