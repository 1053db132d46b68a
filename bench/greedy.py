"""One device posts hundreds of times per second: laps with and without it, for the others' latency."""

from __future__ import annotations

import collections
import statistics
from collections.abc import Sequence
from typing import NamedTuple

import click

from bench import bodies, generator, ingest, open_loop, phones, service, stream

_OTHERS_PER_SECOND = 1000.0
_GREEDY_PER_SECOND = 500.0
# One token, but a socket carries one request at a time.
_GREEDY_SOCKETS = 16
_WARMUP_SECONDS = 3.0


class Pairs(NamedTuple):
    """All laps, in turn without and with the greedy device."""

    without: list[open_loop.Load]
    with_greedy: list[open_loop.Load]

    @property
    def acknowledged(self) -> int:
        """Pings stored, of all laps."""
        return sum(
            outcome.acknowledged
            for load in (*self.without, *self.with_greedy)
            for outcome in load.outcomes.values()
        )

    @property
    def errors(self) -> int:
        """Of all laps; a refusal is no error of the greedy device, and one of the others."""
        return sum(
            outcome.errors
            for load in (*self.without, *self.with_greedy)
            for outcome in load.outcomes.values()
        )

    def values(self) -> dict[str, object]:
        """The others' p99, by lap; the change is the median of what it was within each pair."""
        before, beside = (
            [load.outcomes["others"].latency["p99_ms"] or 0.0 for load in laps]
            for laps in (self.without, self.with_greedy)
        )
        changes = [after / one - 1 for one, after in zip(before, beside, strict=True)]
        statuses: collections.Counter[int] = collections.Counter()
        for load in self.with_greedy:
            statuses.update(load.outcomes["greedy"].statuses)
        return {
            "others_p99_ms": before,
            "others_p99_beside_ms": beside,
            "others_p99_change": round(statistics.median(changes), 3),
            "statuses": dict(statuses),
            "refused_share": round(statuses[phones.OVER_ITS_RATE] / max(1, statuses.total()), 3),
            "slip_p99_ms": max(
                (load.slip_p99_ms for load in (*self.without, *self.with_greedy)), default=None
            ),
        }


def run(target: service.Service, tokens: Sequence[str], *, pairs: int, seconds: float) -> Pairs:
    """All laps on one service; the first device is the greedy one."""
    others = stream.Stream(
        "others",
        _OTHERS_PER_SECOND,
        len(tokens) - 1,
        bodies.Singles(tokens[1:], port=target.port),
        (ingest.STORED,),
    )
    greedy = stream.Stream(
        "greedy",
        _GREEDY_PER_SECOND,
        _GREEDY_SOCKETS,
        bodies.Singles(tokens[:1], port=target.port),
        (ingest.STORED,),
        phones.REFUSALS,
    )
    laps = Pairs([], [])
    for _ in range(pairs):
        laps.without.append(_lap(target, [others], seconds))
        laps.with_greedy.append(_lap(target, [others, greedy], seconds))
    return laps


def _lap(
    target: service.Service, streams: Sequence[stream.Stream], seconds: float
) -> open_loop.Load:
    plan = open_loop.Plan(target.host, target.port, target.pid, streams, _WARMUP_SECONDS, seconds)
    load = generator.run(open_loop.run, plan)
    words = [
        f"{name} {one.latency['p99_ms']} ms {one.statuses}" for name, one in load.outcomes.items()
    ]
    click.echo(f"  greedy   p99 {', '.join(words)}", err=True)
    return load
