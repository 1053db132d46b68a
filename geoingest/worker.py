"""One of the processes that share the public port, as its supervisor sees it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import pathlib
import socket
import subprocess
import sys

import aiohttp
import orjson

from geoingest import metrics
from geoingest.local import child

log = logging.getLogger(__name__)

SHARE = "--share"
COMMAND: tuple[str, ...] = (sys.executable, "-m", "geoingest", "serve")
_POLL_SECONDS = 0.05
# Longer than its own check of a database that hangs.
_ANSWER_SECONDS = 8.0


class Worker:
    """The process; until it has ended it holds its slot."""

    def __init__(self, process: asyncio.subprocess.Process, slot: int, admin: pathlib.Path) -> None:
        self.slot = slot
        self.pid = process.pid
        self.ended = asyncio.create_task(process.wait())
        self.is_listening = False
        self._process = process
        self._admin = admin

    async def ask(self, path: str) -> bytes | None:
        """What its admin port answers; None when nobody is there, TimeoutError when it hangs."""
        connector = aiohttp.UnixConnector(str(self._admin))
        timeout = aiohttp.ClientTimeout(total=_ANSWER_SECONDS)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            try:
                async with session.get(f"http://worker{path}") as answer:
                    return await answer.read()
            except aiohttp.ClientError:
                return None

    async def opens(self) -> None:
        """Returns once it takes callers, or has ended before it could."""
        while not (self.is_listening or self.ended.done()):
            await asyncio.sleep(_POLL_SECONDS)
            with contextlib.suppress(TimeoutError):
                self.is_listening = await self.ask("/livez") is not None

    async def is_ready(self) -> bool:
        """True when it runs and can store pings."""
        try:
            body = await self.ask("/readyz")
        except TimeoutError:
            return False
        return body is not None and bool(orjson.loads(body)["ready"])

    async def stop(self, seconds: float) -> None:
        """Lets it drain; kills it when that takes too long."""
        self.is_listening = False
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        done, _ = await asyncio.wait([self.ended], timeout=seconds)
        if not done:
            log.warning("a worker does not drain and is killed", extra={"worker": self.slot})
            self._process.kill()
            await asyncio.wait([self.ended])


async def spawn(
    slot: int, listener: socket.socket, folder: pathlib.Path, *, workers: int
) -> Worker:
    """A process of its own, not a fork of this one, that inherits nothing but the port.

    It is told how many `workers` there are to be, with whom it shares.
    """
    admin = folder / f"{slot}.sock"
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        *(child.LEASH, SHARE, str(listener.fileno()), str(admin)),
        env={
            **os.environ,
            "GEOINGEST_WORKERS": str(workers),
            metrics.FOLDER_VARIABLE: str(folder),
            metrics.SLOT_VARIABLE: str(slot),
        },
        pass_fds=[listener.fileno()],
        # Never written to: it closes when we are gone, however we went.
        stdin=subprocess.PIPE,
        # Ctrl-C reaches the whole terminal; the order of stopping is ours.
        start_new_session=True,
    )
    return Worker(process, slot, admin)
