"""The options of a measurement are its plan's fields: names and defaults, with words for --help."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

_WORDS = {
    "backlog": "Pings each phone has kept for the second storm.",
    "batch": "Pings in each COPY.",
    "batch_sockets": "For bodies of 100 pings.",
    "capacity_seconds": "For each measurement of the capacity.",
    "days": "Seeded before, at most 89.",
    "devices": "Phones, a socket each.",
    "factor": "Times the capacity, offered.",
    "faults": "Share of the rate that is faulty.",
    "generators": "Processes that send.",
    "greedy_pairs": "Laps without and with the greedy device.",
    "greedy_seconds": "Per lap.",
    "lines": "Students, and guardianships, in one body.",
    "jobs": "With `geoingest jobs` beside.",
    "late": "Pings that come when their hour is rolled up.",
    "minutes": "Measured.",
    "patience": "Seconds after which what is left is an error.",
    "pings": "Pings per second meanwhile.",
    "points": "Kept by each of them.",
    "rate": "Pings per second.",
    "reads": "Questions per second beside the pings.",
    "resenders": "Phones that send all again.",
    "rounds": "Of all in turn.",
    "seconds": "Measured, of each lap.",
    "singles": "Share of phones that send one ping per request.",
    "sockets": "For single pings.",
    "students": "Enrolled.",
    "warmup": "Seconds before that.",
    "workers": "Processes of the service.",
}


def of(plan: tuple[object, ...], **words: str) -> Callable[[F], F]:
    """An option for each field of the plan, which holds the defaults, and --save."""

    def decorate(command: F) -> F:
        save = click.option("--save", is_flag=True, help="Keep the result for `report`.")
        made = save(command)
        fields: dict[str, object] = plan._asdict()  # type: ignore[attr-defined]  # every plan is a NamedTuple
        for name, value in reversed(fields.items()):
            made = _option(name, value, {**_WORDS, **words}[name])(made)
        return made

    return decorate


def _option(name: str, value: object, words: str) -> Callable[[F], F]:
    flag = f"--{name.replace('_', '-')}"
    if isinstance(value, bool):
        return click.option(flag, is_flag=True, default=value, help=words)
    kind = click.FloatRange(0) if isinstance(value, float) else click.IntRange(1)
    return click.option(flag, type=kind, default=value, show_default=True, help=words)
