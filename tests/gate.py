"""A bad network between one phone and the service: HTTP requests that fail before it, or after it."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import random
import urllib.parse
from collections.abc import AsyncIterator

import aiohttp
from aiohttp import web

# 503 that is not the service's; lost on the way there; lost on the way back; none.
FAULTS = ("refused", "cut_before", "cut_after", "none")
_TIMES = (1, 1, 1, 6)


class Gate:
    """Passes requests on to `target`; which of them fail is the same for the same seed."""

    def __init__(self, target: str, *, seed: int) -> None:
        self.target = target
        self.url = ""
        self.is_bad = False
        self.latency_seconds = 0.0
        # So many of the next requests stop amid their body.
        self.stalls = 0
        self.counts: collections.Counter[str] = collections.Counter()
        self._random = random.Random(seed)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """One request, and what becomes of it."""
        (fault,) = self._random.choices(FAULTS, _TIMES) if self.is_bad else ("none",)
        self.counts[fault] += 1
        body = await request.read()
        await asyncio.sleep(self.latency_seconds)
        if self.stalls and len(body) > 1:
            self.stalls -= 1
            self.counts["stalled"] += 1
            return await self._stalled(request, body)
        if fault == "refused":
            return web.Response(status=503, headers={"Retry-After": "1"})
        answer = None if fault == "cut_before" else await self._forwarded(request, body)
        if answer is None or fault == "cut_after":
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        return answer

    async def _stalled(self, request: web.BaseRequest, body: bytes) -> web.Response:
        """Half a body and no more; the service's answer, or a cut where it gives none."""
        target = urllib.parse.urlsplit(self.target)
        reader, writer = await asyncio.open_connection(target.hostname, target.port)
        head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
        writer.write(f"{request.method} {request.raw_path} HTTP/1.1\r\n{head}\r\n".encode())
        writer.write(body[: len(body) // 2])
        line = b""
        with contextlib.suppress(OSError):
            line = await reader.readline()
        writer.close()
        if not line:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        return web.Response(status=int(line.split()[1]))

    async def _forwarded(self, request: web.BaseRequest, body: bytes) -> web.Response | None:
        """The service's answer; None while it is away."""
        headers = {
            name: value
            for name, value in request.headers.items()
            if name in ("Authorization", "Content-Type")
        }
        try:
            async with aiohttp.request(
                request.method,
                self.target + request.raw_path,
                data=body or None,
                headers=headers,
                allow_redirects=False,
            ) as got:
                return web.Response(
                    status=got.status, body=await got.read(), content_type=got.content_type
                )
        except (aiohttp.ClientError, OSError):
            return None


@contextlib.asynccontextmanager
async def in_front_of(url: str, *, seed: int) -> AsyncIterator[Gate]:
    """A gate on a free port, without faults until it `is_bad`."""
    gate = Gate(url, seed=seed)
    runner = web.ServerRunner(web.Server(gate.handle), shutdown_timeout=1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        gate.url = f"http://{host}:{port}"
        yield gate
    finally:
        await runner.cleanup()
