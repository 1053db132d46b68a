"""What lies on a shelf is young, and not too much."""

from __future__ import annotations

from geoingest.access import shelf


class _Clock:
    seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def test_nothing_is_older_than_it_may_be() -> None:
    """Its age counts from when it was put there, not from its last use; put anew it is young again."""
    clock = _Clock()
    of = shelf.Shelf[str, int](most=10, seconds=2.0, now=clock)

    of.put("a", 1)
    clock.seconds += 1.9
    young = of.get("a")
    clock.seconds += 0.1
    old = of.get("a")
    of.put("a", 2)

    assert (young, old, of.get("a")) == (1, None, 2)
    assert of.get("b") is None


def test_of_too_many_the_longest_unused_goes() -> None:
    """As many as there may be, however many were put; and who is dropped is gone."""
    of = shelf.Shelf[int, int](most=3, seconds=60.0)
    for one in range(3):
        of.put(one, one)

    of.get(0)
    for one in range(3, 1000):
        of.get(0)
        of.put(one, one)

    assert len(of._kept) == 3
    assert [of.get(one) for one in (0, 1, 997, 998, 999)] == [0, None, None, 998, 999]
    of.drop(999)
    of.drop(999)
    assert of.get(999) is None
