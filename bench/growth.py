"""What a service that only goes on may not do: hold more memory, files or tasks from minute to minute."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import click

from bench import slope

# Growth that is none yet: buffers and arenas find their size.
_MOST_SETTLING_MINUTES = 5.0
# Per minute, whether MiB, files or tasks; a shorter look than half an hour may see so much in all.
_MOST_GROWTH, _MOST_IN_ALL = 1.0, 30.0

# Of each span the least counts.
_SPAN_MINUTES, _LEAST_SPANS = 0.25, 8


class Sample(NamedTuple):
    """What the service holds at one moment."""

    minutes: float
    rss_mib: float
    open_files: float
    tasks: float


class Growth(NamedTuple):
    """The slopes behind the time of settling, and what they may be."""

    slopes: dict[str, slope.Slope]
    bound: float
    settling_minutes: float

    @property
    def problems(self) -> list[str]:
        """What grows too fast, in words."""
        return [
            f"{name} grows by {one.per_minute:.2f} per minute, at most {one.upper:.2f}:"
            f" not below {self.bound:.2f}"
            for name, one in self.slopes.items()
            if one.upper >= self.bound
        ]


def of(samples: Sequence[Sample], *, minutes: float) -> Growth:
    """Judges what was seen: the first third of the time, at most five minutes, is for settling."""
    settling = min(_MOST_SETTLING_MINUTES, minutes / 3)
    measured = minutes - settling
    seen = _least(
        [one for one in samples if settling <= one.minutes <= minutes],
        span=min(_SPAN_MINUTES, measured / _LEAST_SPANS),
    )
    if len(seen) < _LEAST_SPANS / 2:
        raise click.ClickException(f"{minutes:g} minutes are too short to tell")
    at = [one.minutes for one in seen]
    slopes = {
        name: slope.fit(at, [getattr(one, name) for one in seen]) for name in Sample._fields[1:]
    }
    bound = max(_MOST_GROWTH, _MOST_IN_ALL / measured)
    return Growth(slopes, bound, settling)


def _least(samples: Iterable[Sample], *, span: float) -> list[Sample]:
    """Of each span of minutes: what is busy comes and goes, what leaked stays."""
    spans = itertools.groupby(samples, key=lambda one: int(one.minutes / span))
    return [Sample(*map(min, zip(*of_one, strict=True))) for _, of_one in spans]
