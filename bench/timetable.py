"""A school day in a few minutes: who comes, goes, posts and asks in each of its phases."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

# What the day is written for; other sizes and lengths scale it.
_DEVICES = 5000
_MINUTES = 4.5
BUS_SHARE = 0.16
# Of the questions; the others ask for the newest position.
_TRACK_SHARE = 0.25
# Of a bell's length: all phones are gone by the first, and come back between the others.
_LEFT, _BACK_FROM, _BACK_UNTIL = 0.05, 0.1, 0.5
# Posting stops before the last has left and starts when some are back: who has no network cannot post.
_QUIET_FROM, _QUIET_UNTIL = 0.04, 0.12
# Of the length of its phase.
_IMPORT_AT = 0.2

Rates = tuple[float, float]


class Phase(NamedTuple):
    """Rates per second at its start and its end; `come` is the share of phones that connect in it."""

    name: str
    seconds: float
    posts: Rates
    reads: Rates
    logins: Rates = (0.0, 0.0)
    # Of a whole school, by its staff.
    dashboards: float = 0.0
    bus: float = 0.0
    come: float = 0.0
    # All phones lose the network, are back within seconds and post what they have kept.
    is_bell: bool = False
    # The phones on the buses connect.
    boards: bool = False
    # In its midst students are imported.
    imports: bool = False


class Stretch(NamedTuple):
    """Starts of one kind at random moments, at a rate that goes evenly from `first` to `last`."""

    kind: str
    start: float
    end: float
    first: float
    last: float

    @property
    def times(self) -> int:
        """How many starts."""
        return round((self.first + self.last) / 2 * (self.end - self.start))


PHASES = (
    Phase("night", 25, posts=(0, 20), reads=(5, 5), logins=(0, 2), come=0.05),
    Phase(
        "morning rush",
        60,
        posts=(20, 900),
        reads=(5, 130),
        logins=(2, 20),
        dashboards=0.5,
        come=0.95,
    ),
    Phase(
        "first bell",
        20,
        posts=(500, 500),
        reads=(220, 100),
        logins=(20, 5),
        dashboards=1,
        is_bell=True,
    ),
    Phase("lessons", 55, posts=(500, 500), reads=(40, 40), dashboards=1, imports=True),
    Phase("noon", 25, posts=(150, 150), reads=(40, 40), dashboards=1),
    Phase(
        "last bell",
        20,
        posts=(400, 400),
        reads=(220, 120),
        logins=(5, 2),
        dashboards=1,
        is_bell=True,
        boards=True,
    ),
    Phase("bus hour", 45, posts=(200, 200), reads=(130, 130), bus=800, dashboards=0.5),
    Phase("evening", 20, posts=(200, 20), reads=(60, 5)),
)


def day(*, minutes: float, devices: int) -> list[Phase]:
    """The phases at this length and size."""
    longer, more = minutes / _MINUTES, devices / _DEVICES
    return [
        one._replace(
            seconds=one.seconds * longer,
            posts=_times(one.posts, more),
            reads=_times(one.reads, more),
            logins=_times(one.logins, more),
            bus=one.bus * more,
        )
        for one in PHASES
    ]


def begins(phases: Sequence[Phase]) -> list[float]:
    """When each phase begins, and the end of the last."""
    return list(itertools.accumulate((one.seconds for one in phases), initial=0.0))


def imports_at(phases: Sequence[Phase]) -> float:
    """When the import begins."""
    return next(
        start + _IMPORT_AT * one.seconds
        for start, one in zip(begins(phases), phases, strict=False)
        if one.imports
    )


def stretches(phases: Sequence[Phase], *, phones: int, on_buses: int) -> list[Stretch]:
    """All that happens, in no order."""
    found: list[Stretch] = []
    for start, one in zip(begins(phases), phases, strict=False):
        found += _reads(one, start)
        found += _bell(one, start, phones) if one.is_bell else _posts(one, start, phones)
        end = start + one.seconds
        found.append(Stretch("logins", start, end, *one.logins))
        found.append(Stretch("dashboard", start, end, one.dashboards, one.dashboards))
        if one.bus:
            found.append(Stretch("bus", start, end, one.bus, one.bus))
        if one.boards:
            found.append(_all_of(on_buses, "bus come", start, end))
    return found


def starts(plan: Iterable[Stretch], kinds: Sequence[str]) -> list[tuple[float, int]]:
    """Every start in order, with the position of its kind.

    Draws in a fixed number: Poisson arrivals, at exactly the rate.
    """
    chooser = random.Random(7)
    return sorted(
        (_moment(one, chooser.random()), kinds.index(one.kind))
        for one in plan
        for _ in range(one.times)
    )


def _posts(phase: Phase, start: float, phones: int) -> Iterator[Stretch]:
    end = start + phase.seconds
    yield Stretch("phones", start, end, *phase.posts)
    if phase.come:
        yield _all_of(round(phones * phase.come), "phones come", start, end)


def _bell(phase: Phase, start: float, phones: int) -> Iterator[Stretch]:
    (rate, _), length = phase.posts, phase.seconds
    left, back_from, back_until, quiet_from, quiet_until = (
        start + share * length
        for share in (_LEFT, _BACK_FROM, _BACK_UNTIL, _QUIET_FROM, _QUIET_UNTIL)
    )
    yield _all_of(phones, "phones leave", start, left)
    yield _all_of(phones, "phones come", back_from, back_until)
    yield Stretch("phones", start, quiet_from, rate, 0)
    yield Stretch("phones", quiet_until, back_until, 0, rate)
    yield Stretch("phones", back_until, start + length, *phase.posts)


def _reads(phase: Phase, start: float) -> Iterator[Stretch]:
    for kind, share in (("location", 1 - _TRACK_SHARE), ("track", _TRACK_SHARE)):
        yield Stretch(kind, start, start + phase.seconds, *_times(phase.reads, share))


def _all_of(count: int, kind: str, start: float, end: float) -> Stretch:
    rate = count / (end - start)
    return Stretch(kind, start, end, rate, rate)


def _moment(one: Stretch, share: float) -> float:
    """When so much of its starts have happened."""
    length = one.end - one.start
    if one.first == one.last:
        return one.start + share * length
    reached = math.sqrt(one.first**2 + share * (one.last**2 - one.first**2))
    return one.start + length * (reached - one.first) / (one.last - one.first)


def _times(rates: Rates, factor: float) -> Rates:
    return (rates[0] * factor, rates[1] * factor)
