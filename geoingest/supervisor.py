"""`geoingest serve --workers N`: keeps N processes on one public port, and answers for them on one admin port.

How a supervisor and its workers live:

1. The supervisor opens the public port and never accepts; workers inherit the socket and accept from it.
   A connection waits in the kernel, whoever comes and goes, until some worker takes it.
2. Each of N seats has a task that keeps a worker on it. One that ended by itself is followed by another,
   later each time; ends that do not stop, or settings that no worker can use, end it all.
3. A worker holds a slot: the files it counts in and the socket it is asked by. There is one slot more
   than seats, for the next worker of a seat while the last one drains.
4. A worker takes callers once it is ready. SIGHUP: seat by seat the next worker comes, and only when it
   takes callers the last one drains.
5. SIGTERM: the port is closed, every worker drains. A supervisor that is killed takes them along,
   because their stdin closes.
"""

from __future__ import annotations

import asyncio
import collections
import functools
import logging
import pathlib
import random
import signal
import socket
import tempfile
import time
from collections.abc import Callable

from aiohttp import web
from prometheus_client import multiprocess

from geoingest import config, errors, http, serve, worker
from geoingest.operations import workforce

log = logging.getLogger(__name__)

# Beside GEOINGEST_SHUTDOWN_SECONDS; with its default a stop ends within 10 seconds.
_STOP_SECONDS = 3.0
_PAUSE_SECONDS = 0.2
# So many ends of a seat within the window, and coming back is no cure.
_MOST_ENDS = 5
_WINDOW_SECONDS = 60.0
_HOPELESS = {one.exit_code: one for one in (errors.SettingsError, errors.DatabaseAwayError)}


class Seat:
    """One of N places at the port, and how often its workers have ended."""

    def __init__(self) -> None:
        self.is_to_change = asyncio.Event()
        self._ended_at: collections.deque[float] = collections.deque(maxlen=_MOST_ENDS)

    def pause_seconds(self, code: int, *, now: float) -> float:
        """How long to wait before the next worker; an error when there should be none."""
        if code in _HOPELESS:
            raise _HOPELESS[code]("a worker cannot start; the line above says why")
        self._ended_at.append(now)
        recent = sum(1 for ended_at in self._ended_at if now - ended_at < _WINDOW_SECONDS)
        if recent == _MOST_ENDS:
            raise errors.LocalError("a worker ends again and again; the lines above say why")
        # Jitter, so that workers that fell together do not come back in step.
        return _PAUSE_SECONDS * 2.0 ** (recent - 1) * random.uniform(0.5, 1.0)  # noqa: S311  # no secret


class Supervisor:
    """The seats of one public port."""

    def __init__(
        self, settings: config.Config, listener: socket.socket, folder: pathlib.Path
    ) -> None:
        self._settings = settings
        self._listener = listener
        self._folder = folder
        self._seats = [Seat() for _ in range(settings.worker_count)]
        self._free = set(range(settings.worker_count + 1))
        self._workers: dict[int, worker.Worker] = {}
        # Only one seat at a time has two workers.
        self._turn = asyncio.Lock()

    @property
    def workers(self) -> list[worker.Worker]:
        """All that run, also those that do not listen yet or any more."""
        return list(self._workers.values())

    @property
    def listening(self) -> list[worker.Worker]:
        """Those that take callers."""
        return [one for one in self.workers if one.is_listening]

    def change_all(self) -> None:
        """Has each worker followed by a new one."""
        log.info("rolling restart")
        for seat in self._seats:
            seat.is_to_change.set()

    async def run(self, stop: asyncio.Event, announce: Callable[[], None]) -> None:
        """Keeps every seat taken until told to stop, or until that is no use any more."""
        once = functools.cache(announce)
        stopping = asyncio.create_task(stop.wait())
        tasks = [asyncio.create_task(self._keep(seat, once)) for seat in self._seats]
        done, _ = await asyncio.wait([stopping, *tasks], return_when=asyncio.FIRST_COMPLETED)
        log.info("draining")
        self._listener.close()
        for task in (stopping, *tasks):
            task.cancel()
        await asyncio.gather(stopping, *tasks, return_exceptions=True)
        await asyncio.gather(*map(self._stop, self.workers))
        for task in done:
            task.result()

    async def _keep(self, seat: Seat, announce: Callable[[], None]) -> None:
        current = await self._start()
        while True:
            if current.is_listening:
                announce()
            changing = asyncio.create_task(seat.is_to_change.wait())
            try:
                await asyncio.wait([current.ended, changing], return_when=asyncio.FIRST_COMPLETED)
            finally:
                changing.cancel()
            if current.ended.done():
                code = current.ended.result()
                pause_seconds = seat.pause_seconds(code, now=time.monotonic())
                log.warning("worker ended", extra={"worker": current.slot, "exit_code": code})
                await asyncio.sleep(pause_seconds)
                current = await self._start()
            else:
                seat.is_to_change.clear()
                async with self._turn:
                    current = await self._change(current)

    async def _change(self, last: worker.Worker) -> worker.Worker:
        """Who is on the seat afterwards: the next one only when it is ready."""
        following = await self._start()
        if await following.is_ready():
            await self._stop(last)
            return following
        log.warning("the next worker is not ready; the last one stays")
        await self._stop(following)
        return last

    async def _start(self) -> worker.Worker:
        """A worker that listens, or has ended before it could."""
        slot = min(self._free)
        self._free.remove(slot)
        one = self._workers[slot] = await worker.spawn(
            slot, self._listener, self._folder, workers=len(self._seats)
        )
        one.ended.add_done_callback(lambda _: self._give_back(slot))
        await one.opens()
        return one

    def _give_back(self, slot: int) -> None:
        # What it counted stays, what it was goes.
        multiprocess.mark_process_dead(slot, str(self._folder))  # type: ignore[no-untyped-call]  # not typed
        del self._workers[slot]
        self._free.add(slot)

    async def _stop(self, one: worker.Worker) -> None:
        await one.stop(self._settings.shutdown_seconds + _STOP_SECONDS)


async def supervise(settings: config.Config) -> None:
    """Runs the service as several processes until SIGTERM or SIGINT; SIGHUP changes them one by one."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    with _listening(settings) as listener, tempfile.TemporaryDirectory(prefix="geoingest-") as name:
        folder = pathlib.Path(name)
        seats = Supervisor(settings, listener, folder)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        loop.add_signal_handler(signal.SIGHUP, seats.change_all)
        admin = serve.runner(_admin(seats, folder, wanted=settings.worker_count), settings)
        try:
            site = await serve.listen(admin, settings.host, settings.admin_port)
            ports = {"port": listener.getsockname()[1], "admin_port": site.port}
            await seats.run(stop, functools.partial(serve.announce, settings.host, **ports))
        finally:
            # Last: metrics and health tell of the drain to its end.
            await admin.cleanup()
    log.info("stopped")


def _admin(seats: Supervisor, folder: pathlib.Path, *, wanted: int) -> web.Application:
    app = web.Application(middlewares=[http.observe])
    endpoints = workforce.Endpoints(lambda: seats.listening, wanted=wanted)
    totals = workforce.Totals(folder, lambda: [one.pid for one in seats.workers])
    app.add_routes(workforce.routes(endpoints, totals))
    return app


def _listening(settings: config.Config) -> socket.socket:
    host, port = settings.host, settings.port
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return socket.create_server(address[:2], family=family, backlog=serve.BACKLOG)
    except OSError as exc:
        raise errors.LocalError(f"cannot listen on {host}:{port}: {exc.strerror}") from exc
