"""A moment's hesitation is no overload; what lasts is, and then the queue is kept short."""

from __future__ import annotations

import pytest

from geoingest.ingest import overload

_LIMITS = overload.Limits(100, 1000, 1.0, 50, 0.05)


def _refuses(
    one: overload.Overload,
    now: float,
    waiting_seconds: float,
    pings: int = 1,
    *,
    more_pings: int = 1,
    size_bytes: int = 1,
    turn_seconds: float = 0.0,
) -> bool:
    return one.refuses(
        pings=pings - more_pings,
        more_pings=more_pings,
        size_bytes=size_bytes,
        waiting_seconds=waiting_seconds,
        turn_seconds=turn_seconds,
        now=now,
    )


def _writing(*, pings_per_second: float, least_seconds: float = 0.001) -> overload.Overload:
    """With lanes that have written at this pace for a while."""
    one = overload.Overload(_LIMITS)
    one.pace.pings_per_second = pings_per_second
    one.pace.least_seconds = least_seconds
    return one


def test_hard_limits_always_hold() -> None:
    """Rows, bytes and age: exactly the limit is taken, anything beyond is refused at once."""
    one = overload.Overload(_LIMITS)

    assert not _refuses(one, 0.0, 0.05, 100, size_bytes=1000)
    assert _refuses(one, 0.0, 0.0, 101)
    assert _refuses(one, 0.0, 0.0, size_bytes=1001)
    assert _refuses(one, 0.0, 1.01)


def test_a_database_that_hesitates_refuses_nobody() -> None:
    """A queue that grows old for a moment and is young again was no overload."""
    one = overload.Overload(_LIMITS)

    hesitations = [
        _refuses(one, start + age, age) for start in (0.0, 1.0, 2.0) for age in (0.0, 0.1, 0.2)
    ]

    assert not any(hesitations)


def test_a_queue_that_stays_old_is_kept_short_until_it_is_calm() -> None:
    """Old for a quarter second: from then on 50 ms of work is taken, and for a second beyond."""
    one = _writing(pings_per_second=200)
    assert [_refuses(one, now, 0.2, 11) for now in (0.0, 0.2, 0.26)] == [False, False, True]

    while_busy = [_refuses(one, now, 0.0, pings) for now, pings in ((0.3, 10), (0.4, 11))]
    after_calm = [_refuses(one, now, 0.0, 11) for now in (1.39, 2.4)]

    assert while_busy == [False, True]
    assert after_calm == [True, False]


def test_lanes_without_work_are_always_given_some() -> None:
    """However slow they were: who writes nothing would never be seen to be faster."""
    one = _writing(pings_per_second=0.0)
    _refuses(one, 0.0, 0.2, 2)
    assert _refuses(one, 0.26, 0.2, 2)

    assert not _refuses(one, 0.3, 0.0, 100, more_pings=100)


def test_where_a_commit_takes_long_more_is_taken() -> None:
    """Three of the shortest writes, where these are more than 50 ms."""
    one = _writing(pings_per_second=200, least_seconds=0.1)
    _refuses(one, 0.0, 0.2)
    _refuses(one, 0.26, 0.2)

    assert [_refuses(one, 0.3, 0.0, pings) for pings in (60, 61)] == [False, True]


def test_where_the_loop_turns_slowly_more_is_taken() -> None:
    """Four turns of it: with less, thousands of ready sockets would bring the pace down and down."""
    one = _writing(pings_per_second=200)
    _refuses(one, 0.0, 0.2)
    _refuses(one, 0.26, 0.2)

    refused = [_refuses(one, 0.3, 0.0, pings, turn_seconds=0.05) for pings in (40, 41)]

    assert refused == [False, True]


@pytest.mark.parametrize(("turn_seconds", "remembers"), [(0.0, False), (0.1, True)])
def test_what_waits_for_the_loop_does_not_make_the_lanes_slow(
    turn_seconds: float, remembers: bool
) -> None:
    """Taken after 0.2 s: of turns of 0.1 s, that is no wait for a lane, and what was reached is remembered."""
    one = _writing(pings_per_second=200)

    for number in range(1, 11):
        one.wrote(
            1,
            requests=2,
            waited_seconds=0.2,
            seconds=0.01,
            turn_seconds=turn_seconds,
            now=0.1 * number,
        )

    assert (one.pace.pings_per_second > 150) is remembers
