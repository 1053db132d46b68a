"""The lanes' pace follows what they write."""

from __future__ import annotations

import pytest

from geoingest.ingest import pace


def _write(
    one: pace.Pace,
    *,
    start: float,
    pings: int,
    seconds: float,
    requests: int = 2,
    is_calm: bool = False,
) -> float:
    """A hundred batches, one after the other; returns when the last one ends."""
    for number in range(1, 101):
        now = start + number * seconds
        one.wrote(pings, requests=requests, seconds=seconds, is_calm=is_calm, now=now)
    return start + 100 * seconds


@pytest.mark.parametrize("seconds", [0.01, 0.3])
def test_the_rate_is_what_was_written_lately(seconds: float) -> None:
    """Small batches or large, and whatever it was before."""
    one = pace.Pace()

    end = _write(one, start=1000.0, pings=7, seconds=0.1)
    _write(one, start=end, pings=30, seconds=seconds)

    assert one.pings_per_second == pytest.approx(30 / seconds, rel=0.05)


def test_lanes_with_little_to_write_are_not_slow() -> None:
    """What was reached is remembered for a while; a higher rate counts at once."""
    one = pace.Pace()

    end = _write(one, start=1000.0, pings=300, seconds=0.1)
    end = _write(one, start=end, pings=3, seconds=0.01, is_calm=True)
    calm = one.pings_per_second
    _write(one, start=end, pings=800, seconds=0.1, is_calm=True)

    assert 2500 < calm < 3000
    assert one.pings_per_second == pytest.approx(8000, rel=0.05)


def test_the_least_time_is_that_of_a_lone_request() -> None:
    """Larger batches take longer and tell nothing of it; one that was faster does."""
    one = pace.Pace()

    end = _write(one, start=0.0, pings=1, seconds=0.02, requests=1)
    end = _write(one, start=end, pings=5000, seconds=0.5)
    slow = one.least_seconds
    _write(one, start=end, pings=100, seconds=0.004)

    assert slow == pytest.approx(0.02, rel=0.01)
    assert one.least_seconds == 0.004
