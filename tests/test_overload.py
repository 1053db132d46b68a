"""A moment's hesitation is no overload; what lasts is, and then the queue is kept short."""

from __future__ import annotations

from geoingest.ingest import overload

_LIMITS = overload.Limits(100, 1000, 1.0, 50, 0.05)


def _refuses(one: overload.Overload, now: float, age_seconds: float) -> bool:
    return one.refuses(pings=1, size_bytes=1, age_seconds=age_seconds, now=now)


def test_hard_limits_always_hold() -> None:
    """Rows, bytes and age: exactly the limit is taken, anything beyond is refused at once."""
    one = overload.Overload(_LIMITS)

    assert not one.refuses(pings=100, size_bytes=1000, age_seconds=0.05, now=0.0)
    assert one.refuses(pings=101, size_bytes=1, age_seconds=0.0, now=0.0)
    assert one.refuses(pings=1, size_bytes=1001, age_seconds=0.0, now=0.0)
    assert one.refuses(pings=1, size_bytes=1, age_seconds=1.01, now=0.0)


def test_a_database_that_hesitates_refuses_nobody() -> None:
    """A queue that grows old for a moment and is young again was no overload."""
    one = overload.Overload(_LIMITS)

    hesitations = [
        _refuses(one, start + age, age) for start in (0.0, 1.0, 2.0) for age in (0.0, 0.1, 0.2)
    ]

    assert not any(hesitations)


def test_a_queue_that_stays_old_is_kept_short_until_it_is_calm() -> None:
    """Old for a quarter second: from then on all above 50 ms is refused, and a second beyond."""
    one = overload.Overload(_LIMITS)
    assert [_refuses(one, now, 0.2) for now in (0.0, 0.2, 0.26)] == [False, False, True]

    while_busy = [_refuses(one, now, age) for now, age in ((0.3, 0.04), (0.4, 0.06), (1.3, 0.06))]
    after_calm = [_refuses(one, now, age) for now, age in ((2.4, 0.04), (2.5, 0.06))]

    assert while_busy == [False, True, True]
    assert after_calm == [False, False]
