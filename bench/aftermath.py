"""What became of a flood: what was offered, what of it was stored, and how fast the rest was refused."""

from __future__ import annotations

import array
import collections
import itertools
import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import click

from bench import comebacks, stats


class Flooded(NamedTuple):
    """One generator's measured seconds; `acknowledged` and `errors` are those of all its time."""

    # Seconds until the answer.
    accepted: array.array[float]
    refused: array.array[float]
    # How late each attempt was written.
    slips: array.array[float]
    statuses: collections.Counter[int]
    # Starts for which no phone was free.
    held: int
    acknowledged: int
    errors: int
    comebacks: comebacks.Comebacks
    own_cpu_share: float


def values(
    floods: Sequence[Sequence[Flooded]],
    *,
    capacities: Sequence[float],
    pings: int,
    seconds: float,
) -> dict[str, object]:
    """The numbers of all floods, each of several generators; rates in pings, latencies of requests.

    What was stored is compared with each flood's own capacity; the median counts.
    """
    all_of = list(itertools.chain.from_iterable(floods))
    accepted = list(itertools.chain.from_iterable(one.accepted for one in all_of))
    refused = list(itertools.chain.from_iterable(one.refused for one in all_of))
    slips = sorted(itertools.chain.from_iterable(one.slips for one in all_of))
    statuses: collections.Counter[int] = collections.Counter()
    returns = comebacks.Comebacks()
    for one in all_of:
        statuses.update(one.statuses)
        returns.add(one.comebacks)
    goodputs = [pings * sum(len(one.accepted) for one in flood) / seconds for flood in floods]
    ratios = [goodput / own for goodput, own in zip(goodputs, capacities, strict=True)]
    rate = pings / seconds / len(floods)
    capacity = statistics.median(capacities)
    return {
        "capacity_per_s": round(capacity, 1),
        "offered_per_s": round(rate * len(slips), 1),
        "offered_to_capacity": round(rate * len(slips) / capacity, 2),
        "held_per_s": round(rate * sum(one.held for one in all_of), 1),
        "goodput_per_s": round(statistics.median(goodputs), 1),
        "goodput_to_capacity": round(statistics.median(ratios), 3),
        "goodput_to_capacity_rounds": [round(one, 3) for one in ratios],
        **{f"accepted_{name}": value for name, value in stats.milliseconds(accepted).items()},
        **{f"refused_{name}": value for name, value in stats.milliseconds(refused).items()},
        "refused_per_s": round(rate * len(refused), 1),
        "statuses": dict(statuses),
        "errors": sum(one.errors for one in all_of),
        "return_fullest_to_mean": returns.fullest_to_mean,
        "slip_p99_ms": round(stats.percentile(slips, 0.99) * 1e3, 2),
        "generator_cpu_share": round(sum(one.own_cpu_share for one in all_of) / len(floods), 3),
    }


def tell(name: str, values: Mapping[str, object]) -> None:
    """One line of progress."""
    click.echo(
        f"  {name:13} capacity {values['capacity_per_s']}, offered"
        f" {values['offered_to_capacity']}x, goodput {values['goodput_to_capacity']}x,"
        f" p99 accepted {values['accepted_p99_ms']} ms, refused {values['refused_p99_ms']} ms,"
        f" {values['statuses']}, held {values['held_per_s']}/s, slip {values['slip_p99_ms']} ms,"
        f" generators' cores {values['generator_cpu_share']}, errors {values['errors']}",
        err=True,
    )
