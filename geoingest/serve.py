"""`geoingest serve`: listens, holds thousands of sockets, and drains before it ends."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import logging
import pathlib
import resource
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NamedTuple, TypeAlias

from aiohttp import web
from typing_extensions import override

from geoingest import app, config, errors, http, metrics, parts

log = logging.getLogger(__name__)

# aiohttp's own 128 overflowed 13,380 times when 5,000 phones came at once.
BACKLOG = 4096
# Connections a worker takes per turn of its loop; with more, one would swallow a whole storm.
ACCEPTED_AT_ONCE = 16
# How often a worker writes what it has counted where its supervisor adds it up.
SAMPLE_SECONDS = 0.5
# After that a worker answers callers itself, if only with 503.
_READY_SECONDS = 5.0
_POLL_SECONDS = 0.02
_WANTED_FILES = 12_000
# With the body's time less than ten seconds.
_LINGERING_SECONDS = 1.0
_DRAIN_SECONDS = 1.0
# A young collection looks at few objects, and so does one of what was left by five of them: none is
# a long pause. 20,000 and 20 let two bells of 5,000 phones gather for one that took a second on a
# busy machine. A full one is due after forty million objects; the default's is after 70,000.
_GC_THRESHOLDS = (2_000, 5, 4_000)


class Share(NamedTuple):
    """What a worker gets from its supervisor: the public port's socket, and where it is asked."""

    listener: int
    admin: pathlib.Path


# Opens both ports; the public one is closed first.
_Open: TypeAlias = Callable[[web.AppRunner, web.AppRunner], Awaitable[web.BaseSite]]


class SharedSocket(socket.socket):
    """A listening socket of several processes: none of them changes how many may wait there."""

    @override
    def listen(self, backlog: int = BACKLOG, /) -> None:
        # asyncio would set it to what it accepts at once.
        super().listen(BACKLOG)


async def serve(settings: config.Config) -> None:
    """Runs the service until SIGTERM or SIGINT, then answers what was read and returns."""
    stop = _stop_on_signal()
    async with parts.running(settings) as service:
        await _answer(settings, service, stop, functools.partial(_open_ports, settings))
    log.info("stopped")


async def serve_share(settings: config.Config, share: Share) -> None:
    """The same as one of several processes on the port."""
    async with parts.running(settings) as service, _sampling():
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_READY_SECONDS):
                # The others take the callers meanwhile; who is not ready would only refuse them.
                await _until_ready(service)
        # Up to here SIGTERM just ends it: nobody waits for an answer.
        stop = _stop_on_signal()
        await _answer(settings, service, stop, functools.partial(_join, share))
    log.info("stopped")


def _stop_on_signal() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


async def _answer(
    settings: config.Config, service: parts.Service, stop: asyncio.Event, open_ports: _Open
) -> None:
    _raise_file_limit()
    public = app.public_runner(settings, service, **_options(settings))
    admin = runner(app.admin(service), settings)
    try:
        site = await open_ports(public, admin)
        _settle_memory()
        await _first(stop, service.privileges.refused)
        log.info("draining")
        await site.stop()
        # Whoever posts within this time is answered and told to close, instead of being cut off.
        http.drain()
        await asyncio.sleep(_DRAIN_SECONDS)
    finally:
        # The public port first: metrics and health tell of the drain to its end.
        await public.cleanup()
        await admin.cleanup()
    service.privileges.require()


async def _first(*events: asyncio.Event) -> None:
    waits = [asyncio.create_task(one.wait()) for one in events]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for one in waits:
            one.cancel()


def runner(application: web.Application, settings: config.Config) -> web.AppRunner:
    """An application with the service's limits on its connections."""
    keepalive = settings.keepalive_seconds
    return web.AppRunner(application, keepalive_timeout=keepalive, **_options(settings))


def _options(settings: config.Config) -> dict[str, Any]:
    """The limits on connections, as aiohttp's runners name them."""
    return {
        # It would double the cost of a request; requests are counted in the metrics.
        "access_log": None,
        "shutdown_timeout": settings.shutdown_seconds,
        # For reading to its end a body that was refused, so that the client sees why.
        "lingering_time": _LINGERING_SECONDS,
    }


async def listen(one: web.AppRunner, host: str, port: int) -> web.TCPSite:
    """Opens a port; LocalError when it is taken."""
    await one.setup()
    site = web.TCPSite(one, host, port, backlog=BACKLOG, reuse_address=True)
    try:
        await site.start()
    except OSError as exc:
        raise errors.LocalError(f"cannot listen on {host}:{port}: {exc.strerror}") from exc
    return site


def announce(host: str, *, port: int, admin_port: int) -> None:
    """Says where it is, once pings can be posted."""
    urls = {"url": f"http://{host}:{port}", "admin": f"http://{host}:{admin_port}"}
    log.info("serving", extra=urls)


async def _open_ports(
    settings: config.Config, public: web.AppRunner, admin: web.AppRunner
) -> web.BaseSite:
    site = await listen(public, settings.host, settings.port)
    admin_site = await listen(admin, settings.host, settings.admin_port)
    announce(settings.host, port=site.port, admin_port=admin_site.port)
    return site


async def _join(share: Share, public: web.AppRunner, admin: web.AppRunner) -> web.BaseSite:
    metrics.sample()
    await public.setup()
    await admin.setup()
    site = web.SockSite(public, SharedSocket(fileno=share.listener), backlog=ACCEPTED_AT_ONCE)
    await site.start()
    # Who is answered here knows that the public port is open.
    await web.UnixSite(admin, share.admin).start()
    return site


async def _until_ready(service: parts.Service) -> None:
    while True:
        if not any([await check() for check in service.checks().values()]):
            return
        await asyncio.sleep(_POLL_SECONDS)


@contextlib.asynccontextmanager
async def _sampling() -> AsyncIterator[None]:
    async def sample() -> None:
        while True:
            metrics.sample()
            await asyncio.sleep(SAMPLE_SECONDS)

    task = asyncio.create_task(sample())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
        # What was counted since.
        metrics.sample()


def _raise_file_limit() -> None:
    """A socket is a file: 5,000 phones need more than the usual 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _WANTED_FILES if hard == resource.RLIM_INFINITY else min(_WANTED_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    if wanted < _WANTED_FILES:
        log.warning("few open files allowed", extra={"limit": wanted, "wanted": _WANTED_FILES})


def _settle_memory() -> None:
    """What was loaded at start lives as long as the process: the collector need not look again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
