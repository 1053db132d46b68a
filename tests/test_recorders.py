"""What a simulated phone records, asked at any moments."""

from __future__ import annotations

import datetime
import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoingest.local import recorders, traces

_START = datetime.datetime(2026, 11, 22, 10, tzinfo=datetime.UTC)
_OLD = datetime.datetime(2008, 10, 23, tzinfo=datetime.UTC)
_waits = st.lists(st.integers(0, 40), max_size=30)


@given(_waits, st.sampled_from([0.5, 5.0, 7.0]))
def test_a_walk_records_once_each_interval(waits: list[int], interval_seconds: float) -> None:
    """However often or seldom the phone asks, no fix is missing, doubled or ahead of its time."""
    walk = recorders.Walk(1, interval_seconds, _START)
    now, fixes = 0, []
    for wait in waits:
        now += wait
        fixes += walk.recorded(_after(now))

    expected = (
        [interval_seconds * n for n in range(int(now / interval_seconds) + 1)] if waits else []
    )
    assert [fix.timestamp for fix in fixes] == [_after(seconds) for seconds in expected]


def test_a_walk_goes_at_walking_pace() -> None:
    """Each step is 1.4 m a second, and the walk stays on the map."""
    fixes = recorders.Walk(3, 5.0, _START).recorded(_after(3600))

    for one, following in itertools.pairwise(fixes):
        north = (following.latitude - one.latitude) * 111_320
        east = (
            (following.longitude - one.longitude) * 111_320 * math.cos(math.radians(one.latitude))
        )
        assert math.hypot(north, east) == pytest.approx(7.0, rel=0.01)


def test_walks_differ_by_seed_and_by_nothing_else() -> None:
    """A simulation can be run again, and its phones do not walk in one another's steps."""
    first, again, other = (recorders.Walk(seed, 5.0, _START).recorded(_START) for seed in (1, 1, 2))

    assert first == again
    assert first != other


@given(_waits)
def test_a_replay_starts_at_its_start_and_loops(waits: list[int]) -> None:
    """Trips follow one another at their own pace, a minute apart, for ever, none ahead of time."""
    trips = [_trip(0, 10, 25), _trip(0), _trip(0, 0, 3)]
    replay = recorders.Replay(trips, _START)
    now, fixes = 0, []
    for wait in waits:
        now += wait
        fixes += replay.recorded(_after(now))

    seconds = [0, 10, 25, 85, 145, 145, 148]
    endless = [second + 208 * turn for turn in range(10) for second in seconds]
    expected = [second for second in endless if second <= now] if waits else []
    assert [fix.timestamp for fix in fixes] == [_after(second) for second in expected]
    assert [fix.latitude for fix in fixes[:7]] == [0, 1, 2, 0, 0, 1, 2][: len(fixes)]


def test_a_replay_that_begins_later_is_silent_until_then() -> None:
    """Nothing is recorded before the start."""
    replay = recorders.Replay([_trip(0, 5)], _after(60))

    assert replay.recorded(_after(59)) == []
    assert [fix.timestamp for fix in replay.recorded(_after(60))] == [_after(60)]


def test_a_replay_leaves_the_trips_as_they_were() -> None:
    """Many phones replay the same trips."""
    trip = _trip(0, 5)
    recorders.Replay([trip], _START).recorded(_after(500))

    assert trip == _trip(0, 5)


def _after(seconds: float) -> datetime.datetime:
    return _START + datetime.timedelta(seconds=seconds)


def _trip(*seconds: int) -> traces.Trip:
    """Recorded years ago, a degree of latitude per fix."""
    return [
        traces.Fix(_OLD + datetime.timedelta(seconds=second), float(number), 0.0)
        for number, second in enumerate(seconds)
    ]
