"""A service of two workers: started, loaded, killed in part, changed, and watched meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pathlib
import signal
import tempfile
from collections.abc import AsyncIterator, Sequence
from typing import Any

import aiohttp

from geoingest.access import provision
from tests import conftest, processes, senders, trees
from tests.oracle import told

CARELESS = "tests.careless_workers"
KILLS = 3
# A worker is a process that starts, on a busy machine.
CHANGE_SECONDS = 60.0


@contextlib.asynccontextmanager
async def serving(
    database: conftest.Database, *, fault: str = "", **environment: str
) -> AsyncIterator[processes.Service]:
    """A service of two workers, both ready; nothing of it is left behind."""
    module = CARELESS if fault else "geoingest"
    # A short path: the workers' sockets lie below it.
    with tempfile.TemporaryDirectory() as folder:
        settings = {"GEOINGEST_WORKERS": "2", "CARELESS": fault, "TMPDIR": folder, **environment}
        members = set[trees.Running]()
        try:
            async with processes.serving(database, module=module, **settings) as service:
                try:
                    await all_ready(service)
                    yield service
                finally:
                    members = trees.tree(service.popen.pid)
        finally:
            trees.send(members, signal.SIGKILL)


async def readiness(service: processes.Service) -> dict[str, Any]:
    """What /readyz says; 503 exactly when it is not ready."""
    async with aiohttp.request("GET", f"{service.admin_url}/readyz") as got:
        told: dict[str, Any] = await got.json()
        assert got.status == (200 if told["ready"] else 503)
        return told


async def all_ready(service: processes.Service) -> None:
    """Returns once both workers are."""
    async with asyncio.timeout(CHANGE_SECONDS):
        while (await readiness(service))["workers"] != "2 of 2":
            await asyncio.sleep(0.05)


def workers(service: processes.Service) -> set[trees.Running]:
    """The processes below the supervisor."""
    return {one for one in trees.tree(service.popen.pid) if one.pid != service.popen.pid}


def folder(service: processes.Service) -> pathlib.Path:
    """Where the workers count; each was told by its command line."""
    lines = trees.command_lines()
    (folder,) = {pathlib.Path(lines[one.pid].split()[-1]).parent for one in workers(service)}
    return folder


def files(service: processes.Service) -> set[str]:
    """What lies there."""
    return {path.name for path in folder(service).iterdir()}


@contextlib.asynccontextmanager
async def load(
    service: processes.Service, school: Sequence[provision.Enrolled], log: told.Log
) -> AsyncIterator[None]:
    """Phones post without a pause, before, during and after the block."""
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for student in school:
            group.create_task(senders.Sender(student, log).run(service.url, stop))
        try:
            await answers(log, 100)
            yield
            await answers(log, 100)
        finally:
            stop.set()


async def answers(log: told.Log, more: int) -> None:
    """Returns after so many more requests were answered 200."""
    enough = log.count(200) + more
    await conftest.until(lambda: log.count(200) >= enough, seconds=CHANGE_SECONDS)


class Watch:
    """What the admin port says for as long as a block lasts."""

    def __init__(self) -> None:
        # Ready, and how many of how many.
        self.readiness: set[tuple[bool, str]] = set()
        # Counters that went down.
        self.fallen: set[str] = set()

    @contextlib.asynccontextmanager
    async def over(self, service: processes.Service) -> AsyncIterator[None]:
        """Looks until the block ends."""
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._look(service, stop))
            try:
                yield
            finally:
                stop.set()

    async def _look(self, service: processes.Service, stop: asyncio.Event) -> None:
        before: dict[str, float] = {}
        while not stop.is_set():
            told, now = await readiness(service), await service.metrics()
            self.readiness.add((told["ready"], told["workers"]))
            for name, value in before.items():
                kind = name.partition("{")[0]
                if kind.endswith(("_total", "_count", "_bucket")) and now.get(name, 0.0) < value:
                    self.fallen.add(name)
            before = now
            await asyncio.sleep(0.02)


async def kill_one_by_one(service: processes.Service, log: told.Log) -> None:
    """kill -9 of a worker, again and again, each time once both were ready."""
    for _ in range(KILLS):
        # The one that has run longest, so that none is spared.
        os.kill(min(workers(service), key=lambda one: one.started).pid, signal.SIGKILL)
        await answers(log, 50)
        await all_ready(service)


async def change_all(service: processes.Service) -> None:
    """A rolling restart, from its signal to its end."""
    old = workers(service)
    service.popen.send_signal(signal.SIGHUP)
    await conftest.until(lambda: not trees.left(old), seconds=CHANGE_SECONDS)
    await conftest.until(lambda: len(workers(service)) == 2, seconds=CHANGE_SECONDS)
    await all_ready(service)
