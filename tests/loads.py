"""Phones and families on one service that was given two servers, and how soon each is answered again."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator

from geoingest.access import provision
from tests import conftest, pairs, processes, readers, senders
from tests.oracle import told

PHONES = 10
FAMILIES = 3
# The promises: writes within ten seconds of a promotion, reads within fifteen of a new replica.
RESUME_SECONDS = 10.0
RETURN_SECONDS = 15.0


class Load:
    """Phones and families on one service, and what they were answered."""

    def __init__(self, service: processes.Service) -> None:
        self.service = service
        self.log = told.Log()
        self.families: list[readers.Family] = []

    @contextlib.asynccontextmanager
    async def flowing(self, school: list[provision.Enrolled]) -> AsyncIterator[None]:
        """For as long as the block lasts; the last students are families, the others phones."""
        stop = asyncio.Event()
        self.families = [readers.Family(one, self.log) for one in school[PHONES:]]
        async with asyncio.TaskGroup() as group:
            for student in school[:PHONES]:
                group.create_task(senders.Sender(student, self.log).run(self.service.url, stop))
            for family in self.families:
                group.create_task(family.run(self.service.url, stop))
            try:
                await self.writes(seconds=RESUME_SECONDS)
                yield
            finally:
                stop.set()

    async def writes(self, *, seconds: float) -> None:
        """Returns once more pings sent from now on are stored than one phone has."""
        now = time.monotonic()
        await conftest.until(lambda: self.log.count(200, since=now) > 2 * PHONES, seconds=seconds)

    async def reads_from(self, source: str, *, seconds: float) -> None:
        """Returns once every family is answered by this server."""
        await asyncio.gather(*(one.comes_from(source, seconds=seconds) for one in self.families))

    def switches(self, since: float) -> int:
        """How often the source of one family's answers changed; refusals are none."""
        sources = [one.source for one in self.families[0].since(since) if one.source]
        return sum(1 for one, other in itertools.pairwise(sources) if one != other)


@contextlib.asynccontextmanager
async def on(pair: pairs.Pair, *, module: str = "geoingest") -> AsyncIterator[Load]:
    """A service under load that was given both servers for each of its URLs."""
    school = pairs.school(pair, PHONES + FAMILIES)
    with processes.Service(pair.environment, module=module) as service:
        await service.ready()
        load = Load(service)
        async with load.flowing(school):
            await load.reads_from("replica", seconds=RETURN_SECONDS)
            yield load
