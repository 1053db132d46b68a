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


def test_what_is_heavy_takes_the_room_of_many() -> None:
    """The sum of what lies there is bounded; what is too heavy for the whole shelf is not kept, and takes nothing along for ever."""
    of = shelf.Shelf[int, bytes](most=100, seconds=60.0, weigh=len)

    for one in range(20):
        of.put(one, bytes(10))
    of.put(19, bytes(30))
    fits = {one for one in range(20) if of.get(one) is not None}
    of.put(99, bytes(101))
    alone = of.get(99)
    of.put(100, bytes(100))

    assert fits == {13, 14, 15, 16, 17, 18, 19} | {12}
    assert alone is None
    assert of.get(100) == bytes(100)
