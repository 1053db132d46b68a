"""`geoingest serve`: listens, holds thousands of sockets, and drains before it ends."""

from __future__ import annotations

import asyncio
import gc
import logging
import resource
import signal
from typing import Any

from aiohttp import web

from geoingest import app, config, errors, http
from geoingest.ingest import reception

log = logging.getLogger(__name__)

# aiohttp's own 128 overflowed 13,380 times when 5,000 phones came at once.
BACKLOG = 4096
_WANTED_FILES = 12_000
_LINGERING_SECONDS = 2.0
_DRAIN_SECONDS = 1.0
# Objects made between two young collections; the default of 700 makes the collector the longest pause.
_GC_THRESHOLD = 20_000


async def serve(settings: config.Config) -> None:
    """Runs the service until SIGTERM or SIGINT, then answers what was read and returns."""
    _raise_file_limit()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with app.running(settings) as service:
        public = reception.Runner(
            app.public(settings, service), service.intake, **_options(settings)
        )
        admin = web.AppRunner(app.admin(service), **_options(settings))
        try:
            site = await _listen(public, settings.host, settings.port)
            await _listen(admin, settings.host, settings.admin_port)
            log.info(
                "serving",
                extra={
                    "url": f"http://{settings.host}:{_port(public)}",
                    "admin": f"http://{settings.host}:{_port(admin)}",
                },
            )
            _settle_memory()
            await stop.wait()
            log.info("draining")
            await site.stop()
            # Whoever posts within this time is answered and told to close, instead of being cut off.
            http.drain()
            await asyncio.sleep(_DRAIN_SECONDS)
        finally:
            # The public port first: metrics and health tell of the drain to its end.
            await public.cleanup()
            await admin.cleanup()
    log.info("stopped")


def _options(settings: config.Config) -> dict[str, Any]:
    """The limits on connections, as aiohttp's runners name them."""
    return {
        # It would double the cost of a request; requests are counted in the metrics.
        "access_log": None,
        "keepalive_timeout": settings.keepalive_seconds,
        "shutdown_timeout": settings.shutdown_seconds,
        # For reading to its end a body that was refused, so that the client sees why.
        "lingering_time": _LINGERING_SECONDS,
    }


async def _listen(runner: web.AppRunner, host: str, port: int) -> web.TCPSite:
    await runner.setup()
    site = web.TCPSite(runner, host, port, backlog=BACKLOG, reuse_address=True)
    try:
        await site.start()
    except OSError as exc:
        raise errors.LocalError(f"cannot listen on {host}:{port}: {exc.strerror}") from exc
    return site


def _port(runner: web.AppRunner) -> int:
    return int(runner.addresses[0][1])


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
    gc.set_threshold(_GC_THRESHOLD, 20, 100)
