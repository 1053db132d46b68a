"""A caller's rate: a reserve for backlogs, then a steady pace; the others are not concerned."""

from __future__ import annotations

from geoingest import rates


class _Clock:
    seconds = 1024.0

    def __call__(self) -> float:
        return self.seconds


def test_a_silent_caller_may_use_its_reserve_and_then_its_rate() -> None:
    """Ten seconds' worth at once, then one per step; whoever is told to wait is let in after it."""
    clock = _Clock()
    of = rates.Rates(4.0, now=clock)

    at_once = [of.wait_seconds(7) for _ in range(40)]
    wait = of.wait_seconds(7)
    clock.seconds += wait
    then = [of.wait_seconds(7), of.wait_seconds(7)]

    assert at_once == [0.0] * 40
    assert 0 < wait <= 0.25
    assert then[0] == 0.0
    assert then[1] > 0
    assert of.wait_seconds(8) == 0.0


def test_callers_at_rest_are_forgotten() -> None:
    """What is kept is bounded by the callers of the last minute, not by all there ever were."""
    clock = _Clock()
    of = rates.Rates(4.0, now=clock)
    for caller_id in range(1000):
        of.wait_seconds(caller_id)

    clock.seconds += 61
    of.wait_seconds(5000)

    assert set(of._whole_at) == {5000}
