"""The lag is the age of the oldest position of the primary that the replica has not replayed."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoingest.tracking import lag

_START = datetime.datetime(2026, 11, 22, tzinfo=datetime.UTC)


def test_an_idle_system_has_no_lag() -> None:
    """The same position again and again, replayed long ago, is zero however long it lasts."""
    ring = lag.Ring()
    for second in range(3600):
        ring.add(_sample(100, second))
        ring.replayed(100)

        assert ring.lag_seconds(second) == 0

    assert ring.complete_up_to == _at(3599)


@pytest.mark.parametrize("replayed", [100, 199])
def test_a_paused_replica_falls_behind_as_fast_as_time_passes(replayed: int) -> None:
    """From the first position that is not replayed, and not from the newest."""
    ring = lag.Ring()
    ring.add(_sample(100, 0))
    ring.replayed(100)
    for second in range(1, 50):
        ring.add(_sample(200 + second, second))
        ring.replayed(replayed)

        assert ring.lag_seconds(second + 0.5) == second - 0.5

    assert ring.complete_up_to == _at(0)


def test_catching_up_brings_the_lag_back_to_zero() -> None:
    """Half replayed is half the lag; all of it is none."""
    ring = lag.Ring()
    for second in range(10):
        ring.add(_sample(second, second))

    ring.replayed(4)
    half = ring.lag_seconds(10)
    ring.replayed(9)

    assert (half, ring.lag_seconds(10)) == (5, 0)
    assert ring.complete_up_to == _at(9)


def test_before_the_first_sample_nothing_is_known() -> None:
    """No lag to report, and no moment up to which anything is complete."""
    ring = lag.Ring()
    ring.replayed(10**18)

    assert ring.lag_seconds(5) == 0
    assert ring.complete_up_to is None


def test_hours_of_lag_keep_the_oldest_sample_and_bounded_memory() -> None:
    """The ring is thinned and never grows without limit; the lag stays exact all the same."""
    ring = lag.Ring()
    for second in range(20_000):
        ring.add(_sample(second, second))

        assert ring.lag_seconds(second) == second
        assert len(ring._behind) <= lag._LONGEST_RING


def test_after_hours_of_lag_a_replica_half_way_is_not_called_closer_than_it_is() -> None:
    """Thinning costs a hundredth of the time behind, not more."""
    ring = lag.Ring()
    for second in range(20_000):
        ring.add(_sample(second, second))

    ring.replayed(10_000)

    assert 9_800 <= ring.lag_seconds(20_000) <= 10_000
    assert ring.complete_up_to is not None
    assert _at(9_800) <= ring.complete_up_to <= _at(10_000)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=60))
def test_what_is_called_complete_was_replayed(steps: list[tuple[int, int]]) -> None:
    """Never says more than is true: positions up to the replayed one, and no lag too small."""
    ring, written, replayed, seen = lag.Ring(), 0, 0, []
    for second, (more, applied) in enumerate(steps):
        written += more
        replayed = min(written, replayed + applied)
        seen.append(_sample(written, second))
        ring.add(seen[-1])
        ring.replayed(replayed)

        missing = [one for one in seen if one.position > replayed]
        complete = [one.taken_at for one in seen if one.position <= replayed]
        assert ring.lag_seconds(second) == (second - missing[0].seen_seconds if missing else 0)
        assert ring.complete_up_to == (complete[-1] if complete else None)


def test_a_promoted_replica_starts_anew() -> None:
    """Another server counts on its own: neither its lag nor its completeness is known."""
    ring = lag.Ring()
    ring.add(_sample(1, 0))
    ring.add(_sample(2, 1))
    ring.replayed(1)

    ring.clear()

    assert ring.lag_seconds(100) == 0
    assert ring.complete_up_to is None


def test_a_primary_that_runs_backwards_is_another_one() -> None:
    """Positions that only the old one had would never be replayed: they are forgotten."""
    ring = lag.Ring()
    ring.add(_sample(1000, 0))
    ring.replayed(900)

    ring.add(_sample(950, 10))
    ring.replayed(950)

    assert ring.lag_seconds(20) == 0
    assert ring.complete_up_to == _at(10)


def test_a_replica_that_has_less_than_before_is_not_called_complete() -> None:
    """It started again, or another took its place: the lag is at least that of what it had."""
    ring = lag.Ring()
    ring.add(_sample(100, 0))
    ring.replayed(100)
    ring.add(_sample(100, 5))

    ring.replayed(50)

    assert ring.lag_seconds(10) == 10
    assert ring.complete_up_to is None


def test_a_replica_ahead_of_its_primary_follows_another() -> None:
    """Further at the moment of one probe is no wonder; further than the primary is later is."""
    ring = lag.Ring()
    ring.add(_sample(100, 0))
    ring.replayed(130)
    is_astray_at_once = ring.is_astray

    ring.add(_sample(120, 1))
    is_astray_later = ring.is_astray
    ring.add(_sample(130, 2))

    assert (is_astray_at_once, is_astray_later, ring.is_astray) == (False, True, False)


def _sample(position: int, second: float) -> lag.Sample:
    return lag.Sample(position, second, _at(second))


def _at(second: float) -> datetime.datetime:
    return _START + datetime.timedelta(seconds=second)
