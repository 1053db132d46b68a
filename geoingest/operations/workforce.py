"""The admin port of several workers: their health as one, their numbers added up."""

from __future__ import annotations

import asyncio
import functools
import os
import pathlib
import resource
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol, TypeAlias

import orjson
from aiohttp import web
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.aiohttp import make_aiohttp_handler
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from typing_extensions import override

from geoingest import http, metrics

_OURS = "geoingest_"
_CPU = "process_cpu_seconds"
_START = "process_start_time_seconds"
_HANGS = {"ready": False, "loop": "a worker does not answer"}


class Worker(Protocol):
    """A process that listens on the public port."""

    async def ask(self, path: str) -> bytes | None:
        """What its own admin port answers, None when nobody is there; TimeoutError when it hangs."""


Workers: TypeAlias = Callable[[], Sequence[Worker]]


class Endpoints:
    """Health handlers."""

    def __init__(self, workers: Workers, *, wanted: int) -> None:
        self._workers = workers
        self._wanted = wanted

    async def get_livez(self, _request: web.Request) -> web.Response:
        """200 while every event loop turns."""
        if _HANGS in await self._ask("/livez", lambda _body: {}):
            return web.Response(status=503, text=f"{_HANGS['loop']}\n")
        return web.Response(text="alive\n")

    async def get_readyz(self, _request: web.Request) -> web.Response:
        """200 when there are workers and each can take pings; for each check the worst answer."""
        answers = await self._ask("/readyz", orjson.loads)
        count = sum(answer["ready"] for answer in answers)
        ready = 0 < count == len(answers)
        checks: dict[str, object] = {}
        for answer in answers:
            checks |= {name: it for name, it in answer.items() if checks.get(name, "ok") == "ok"}
        # In a rolling restart there is one more for a moment.
        checks |= {"ready": ready, "workers": f"{min(count, self._wanted)} of {self._wanted}"}
        return web.Response(
            status=200 if ready else 503, body=orjson.dumps(checks), content_type=http.JSON
        )

    async def _ask(
        self, path: str, parse: Callable[[bytes], dict[str, Any]]
    ) -> list[dict[str, Any]]:
        async def ask(worker: Worker) -> dict[str, Any] | None:
            try:
                body = await worker.ask(path)
            except TimeoutError:
                return _HANGS
            return None if body is None else parse(body)

        answers = await asyncio.gather(*map(ask, self._workers()))
        # Who has just ended is not there: others take the callers.
        return [answer for answer in answers if answer is not None]


class Totals(Collector):
    """Every family of the catalogue over the files of all slots, and what all processes use."""

    def __init__(self, folder: pathlib.Path, pids: Callable[[], Sequence[int]]) -> None:
        self._folder = folder
        self._pids = pids

    @override
    def collect(self) -> Iterator[Metric]:
        # A worker that begins has files without a word in them yet.
        files = [str(one) for one in self._folder.glob("*.db") if one.stat().st_size]
        merged = {one.name: one for one in MultiProcessCollector.merge(files)}  # type: ignore[no-untyped-call]  # not typed
        for own in metrics.REGISTRY.collect():
            if own.name.startswith(_OURS):
                # Without a sample there is no file, but the name is there all the same.
                yield merged.get(own.name) or Metric(own.name, own.documentation, own.type)
        yield from _processes([os.getpid(), *self._pids()])


def routes(endpoints: Endpoints, totals: Totals) -> list[web.RouteDef]:
    """The route table of the admin port."""
    registry = CollectorRegistry()
    registry.register(totals)
    return [
        web.get("/livez", endpoints.get_livez),
        web.get("/readyz", endpoints.get_readyz),
        web.get("/metrics", make_aiohttp_handler(registry)),
    ]


def _processes(pids: Sequence[int]) -> Iterable[Metric]:
    """What the client tells of one process, summed; the first one's start is that of all."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    sums: dict[str, Metric] = {}
    for pid in pids:
        for family in ProcessCollector(pid=functools.partial(int, pid), registry=None).collect():
            total = sums.setdefault(family.name, family)
            if total is not family and family.name != _START:
                _add(total, family.samples[0].value)
    if resource.getrusage(resource.RUSAGE_CHILDREN) != ended:
        # One ended meanwhile and would be counted twice.
        return _processes(pids)
    if _CPU in sums:
        # A worker that has ended is not there any more, but what it used must not be taken back.
        _add(sums[_CPU], ended.ru_utime + ended.ru_stime)
    return sums.values()


def _add(family: Metric, value: float) -> None:
    (sample,) = family.samples
    family.samples = [sample._replace(value=sample.value + value)]
