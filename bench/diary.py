"""What a school day was like: over all, phase by phase, and second by second."""

from __future__ import annotations

import bisect
import collections
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from bench import day, ingest, open_loop, phones, questions, stats, timetable

# What a phone posts when it is back: the last minute.
KEPT_PINGS = 12
KEPT_STORED = b'"stored":12,"duplicate":0,"rejected":[]}'
_PINGS_OF = {ingest.STORED: 1, KEPT_STORED: KEPT_PINGS}
# By what one asks for, the streams that tell of it.
_SIDES = {
    "pings": ("phones", "bus"),
    "reads": ("location", "track"),
    "logins": ("logins",),
    "dashboards": ("dashboard",),
}
# Points of the picture.
_POINTS = 135

Samples = Sequence[tuple[float, float]]


class Import(NamedTuple):
    """When it began, for how many, how long it took, and for how many there are tokens."""

    at: float
    students: int
    seconds: float
    csv_lines: int


def result(
    phases: Sequence[timetable.Phase],
    stretches: Iterable[timetable.Stretch],
    done: day.Day,
    bulk: Import,
    *,
    rows: int,
) -> dict[str, object]:
    """The numbers, with the series that the picture shows."""
    load = done.load
    seconds = sum(one.seconds for one in phases)
    sides = {
        side: [one for name in names for one in done.samples[name]]
        for side, names in _SIDES.items()
    }
    by_phase = _by_phase(phases, sides)
    acknowledged = sum(
        _PINGS_OF[ending] * count
        for name in _SIDES["pings"]
        for ending, count in load.outcomes[name].endings.items()
    )
    return {
        **{
            f"{side}_{name}": value
            for side, samples in sides.items()
            for name, value in stats.milliseconds(latency for _, latency in samples).items()
        },
        **_worst(by_phase),
        "errors": sum(one.errors for one in load.outcomes.values()),
        "valid": load.kept_schedule
        and _kept_rate(stretches, load, seconds)
        and rows == acknowledged
        and bulk.csv_lines == bulk.students,
        "rows": rows,
        "acknowledged": acknowledged,
        "logins_refused": sum(
            load.outcomes["logins"].statuses.get(one, 0) for one in phones.REFUSALS
        ),
        "import_seconds": bulk.seconds,
        "replica_share": questions.replica_share(load.outcomes[name] for name in _SIDES["reads"]),
        "statuses": {name: one.statuses for name, one in load.outcomes.items()},
        "slip_p99_ms": load.slip_p99_ms,
        "slip_max_ms": load.slip_max_ms,
        "service_cpu_share": load.service_cpu_share,
        "database_cpu_share": load.database_cpu_share,
        "generator_cpu_share": load.own_cpu_share,
        "phases": by_phase,
        "series": _series(sides, seconds),
        "import": bulk._asdict(),
    }


def _kept_rate(
    stretches: Iterable[timetable.Stretch], load: open_loop.Load, seconds: float
) -> bool:
    """True when every stream was answered as often as the timetable wanted."""
    wanted: collections.Counter[str] = collections.Counter()
    for one in stretches:
        # Whoever comes posts.
        wanted[one.kind.removesuffix(" come")] += one.times
    return all(
        one.per_second >= open_loop.LEAST_RATE_SHARE * wanted[name] / seconds
        for name, one in load.outcomes.items()
    )


def _by_phase(
    phases: Sequence[timetable.Phase], sides: Mapping[str, Samples]
) -> list[dict[str, object]]:
    begins = timetable.begins(phases)
    found = []
    for phase, start in zip(phases, begins, strict=False):
        numbers: dict[str, object] = {"name": phase.name, "seconds": round(phase.seconds, 1)}
        for side, samples in sides.items():
            here = [latency for at, latency in samples if start <= at < start + phase.seconds]
            numbers[f"{side}_per_s"] = round(len(here) / phase.seconds, 1)
            found_here = stats.milliseconds(here)
            numbers |= {f"{side}_{key}": found_here[key] for key in ("p50_ms", "p99_ms", "max_ms")}
        found.append(numbers)
    return found


def _worst(by_phase: Sequence[Mapping[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for side in _SIDES:
        key = f"{side}_p99_ms"
        worst = max(by_phase, key=lambda one: float(str(one[key] or 0)))
        found |= {f"worst_{key}": worst[key], f"worst_{side}_phase": worst["name"]}
    return found


def _series(sides: Mapping[str, Samples], seconds: float) -> dict[str, list[float | None]]:
    """Columns of equal length: of each point its moment, rates per second, and latencies."""
    step = max(1.0, seconds / _POINTS)
    edges = [step * number for number in range(round(seconds / step) + 1)]
    columns: dict[str, list[float | None]] = {"at": [*edges[:-1]]}
    for side, samples in sides.items():
        points: list[list[float]] = [[] for _ in edges[:-1]]
        for at, latency in samples:
            points[min(bisect.bisect_right(edges, at), len(points)) - 1].append(latency)
        columns[f"{side}_per_s"] = [round(len(one) / step, 1) for one in points]
        found = [stats.milliseconds(one) for one in points]
        for key in ("p50_ms", "p99_ms"):
            columns[f"{side}_{key}"] = [one[key] for one in found]
    return columns
