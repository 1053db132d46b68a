"""The soak believes no noise and misses no leak."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from bench import growth, slope
from tests import benches

_MINUTES = 60.0
_SAMPLES = 1200


def _noise(per_minute: float, *, seed: int) -> list[float]:
    """Memory of a service: it moves in steps that last, and may grow beside that."""
    chooser = random.Random(seed)
    step, values = 0.0, []
    for number in range(_SAMPLES):
        step = 0.9 * step + chooser.gauss(0, 0.3)
        values.append(100 + step + per_minute * number * _MINUTES / _SAMPLES)
    return values


def _samples(values: Sequence[float]) -> list[growth.Sample]:
    return [
        growth.Sample(number * _MINUTES / _SAMPLES, value, 1000, 1000)
        for number, value in enumerate(values)
    ]


@pytest.mark.parametrize("seed", range(20))
def test_flat_noise_passes(seed: int) -> None:
    """Steps that last are no growth."""
    found = growth.of(_samples(_noise(0, seed=seed)), minutes=_MINUTES)

    assert found.problems == []


@pytest.mark.parametrize("seed", range(20))
def test_a_leak_of_two_mebibytes_per_minute_fails(seed: int) -> None:
    """And is named with its rate."""
    found = growth.of(_samples(_noise(2, seed=seed)), minutes=_MINUTES)

    (words,) = found.problems
    assert words.startswith(("rss_mib grows by 2.0", "rss_mib grows by 1.9"))


def test_what_settles_within_five_minutes_is_no_leak() -> None:
    """Buffers that find their size at the start do not count."""
    values = [min(100.0, one) for one in _noise(20, seed=1)]

    assert growth.of(_samples(values), minutes=_MINUTES).problems == []


def test_what_is_busy_is_no_leak_but_what_stays_is() -> None:
    """A crowd of tasks comes and goes; one more per minute that never ends is found."""
    chooser = random.Random(2)
    crowd = [1000 + chooser.choice([0, 0, 0, 200]) for _ in range(_SAMPLES)]
    samples = [one._replace(tasks=tasks) for one, tasks in zip(_samples(crowd), crowd, strict=True)]
    samples = [one._replace(rss_mib=100.0) for one in samples]
    leaking = [one._replace(tasks=one.tasks + 1.5 * one.minutes) for one in samples]

    assert growth.of(samples, minutes=_MINUTES).problems == []
    (words,) = growth.of(leaking, minutes=_MINUTES).problems
    assert words.startswith("tasks grows by 1.5")


def test_a_short_look_allows_more_per_minute() -> None:
    """Three minutes are one for settling and two in which thirty are too many."""
    found = growth.of(_samples(_noise(0, seed=1))[:60], minutes=3.0)

    assert (found.settling_minutes, found.bound) == (1.0, 15.0)


def test_the_interval_is_as_wide_as_it_says() -> None:
    """The upper end is below the true slope about as often as its 2.5 % allow."""
    minutes = [number * _MINUTES / _SAMPLES for number in range(_SAMPLES)]
    fits = [slope.fit(minutes, _noise(0.5, seed=seed)) for seed in range(400)]

    assert sum(one.upper < 0.5 for one in fits) <= 24
    assert all(0.4 < one.per_minute < 0.6 for one in fits)


def test_a_careless_service_is_found_out() -> None:
    """It keeps memory, files and tasks and loses pings it acknowledged: the soak names each, and exits 1."""
    code, values, said = benches.run(
        *("soak", "--service", "tests.careless"),
        *("--minutes", "0.4", "--devices", "50", "--rate", "100"),
    )

    assert code == 1, said
    problems = "\n".join(values["failed"])
    for words in ("rss_mib grows", "open_files grows", "tasks grows", "rows, but"):
        assert words in problems, said
    assert all(f"failed: {one}" in said for one in values["failed"])
