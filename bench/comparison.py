"""What the peers did, number by number: medians over the rounds, and ratios taken within a round."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from bench import bodies, closed_loop, open_loop


class Laps(NamedTuple):
    """What one peer did in one round."""

    single: closed_loop.Lap
    batch: closed_loop.Lap
    steady: open_loop.Load


class Round(NamedTuple):
    """All peers, and the ceiling with the database's CPU time per row."""

    peers: dict[str, Laps]
    copy_rows_per_s: float
    copy_cpu_us_per_row: float | None


# Of one lap of one peer; None where the kernel does not tell of CPU time.
_OF_LAPS: dict[str, Callable[[Laps], float | None]] = {
    "rps": lambda laps: laps.single.per_second,
    "batch_pings_per_s": lambda laps: laps.batch.per_second * bodies.BACKLOG_PINGS,
    "p99_ms": lambda laps: laps.steady.outcomes["pings"].latency["p99_ms"],
    # At the same rate for all, where ours finds few pings to write together.
    "steady_cpu_us_per_ping": lambda laps: _steady_cpu_us(laps.steady),
    "service_cpu_us_per_ping": lambda laps: laps.single.service_us_per_request,
    "database_cpu_us_per_ping": lambda laps: laps.single.database_us_per_request,
    "cpu_us_per_ping": lambda laps: _cpu_us(laps.single),
    "batch_service_cpu_us_per_ping": lambda laps: _per_ping(laps.batch.service_us_per_request),
    "batch_database_cpu_us_per_ping": lambda laps: _per_ping(laps.batch.database_us_per_request),
    "batch_cpu_us_per_ping": lambda laps: _per_ping(_cpu_us(laps.batch)),
}
# Ratio by name: which number of which peer over which other.
_RATIOS = {
    "naive_cpu_to_ours": ("cpu_us_per_ping", "naive", "ours_1"),
    "naive_steady_cpu_to_ours": ("steady_cpu_us_per_ping", "naive", "ours_1"),
    "naive_cpu_to_ours_2": ("cpu_us_per_ping", "naive", "ours_2"),
    "rps_to_naive": ("rps", "ours_1", "naive"),
    "rps_2_to_1": ("rps", "ours_2", "ours_1"),
    "batch_to_executemany": ("batch_pings_per_s", "ours_1", "executemany"),
    "batch_2_to_1": ("batch_pings_per_s", "ours_2", "ours_1"),
    "executemany_batch_cpu_to_ours": ("batch_cpu_us_per_ping", "executemany", "ours_1"),
}


def result(rounds: Sequence[Round]) -> dict[str, object]:
    """By peer its medians, the ratios, and everything per round."""
    names = list(rounds[0].peers)
    # By peer and number, one value per round.
    series = {
        name: {
            number: [_rounded(of(one.peers[name])) for one in rounds]
            for number, of in _OF_LAPS.items()
        }
        for name in names
    }
    # Within each round, so that a slow minute of the machine weighs on both sides.
    ratios = {
        ratio: _ratios(series[part][number], series[whole][number])
        for ratio, (number, part, whole) in _RATIOS.items()
    }
    copy = [_rounded(one.copy_rows_per_s) for one in rounds]
    ratios["batch_to_copy"] = _ratios(series["ours_1"]["batch_pings_per_s"], copy)
    laps = [one for each in rounds for one in each.peers.values()]
    return {
        **{name: _medians(series[name]) for name in names},
        "psql_copy": _medians(
            {
                "rows_per_s": copy,
                "database_cpu_us_per_row": [one.copy_cpu_us_per_row for one in rounds],
            }
        ),
        # Once more, for the report's table of single numbers.
        **_medians({**ratios, "copy_rows_per_s": copy}),
        "errors": sum(
            one.single.errors + one.batch.errors + one.steady.outcomes["pings"].errors
            for one in laps
        ),
        "slip_p99_ms": max(one.steady.slip_p99_ms for one in laps),
        "per_round": {**series, **ratios, "psql_copy": copy},
    }


def _cpu_us(lap: closed_loop.Lap) -> float | None:
    parts = (lap.service_us_per_request, lap.database_us_per_request)
    return None if None in parts else sum(one for one in parts if one is not None)


def _steady_cpu_us(load: open_loop.Load) -> float | None:
    if load.service_cpu_share is None or load.database_cpu_share is None:
        return None
    share = load.service_cpu_share + load.database_cpu_share
    return share / load.outcomes["pings"].per_second * 1e6


def _per_ping(us_per_body: float | None) -> float | None:
    return None if us_per_body is None else us_per_body / bodies.BACKLOG_PINGS


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


def _ratios(parts: Sequence[float | None], wholes: Sequence[float | None]) -> list[float | None]:
    return [
        round(part / whole, 3) if part and whole else None
        for part, whole in zip(parts, wholes, strict=True)
    ]


def _medians(series: Mapping[str, Sequence[float | None]]) -> dict[str, float | None]:
    return {
        name: round(statistics.median(known), 3)
        if (known := [one for one in values if one is not None])
        else None
        for name, values in series.items()
    }
