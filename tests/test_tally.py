"""What simulated phones say of themselves."""

from __future__ import annotations

import pytest

from geoingest.local import answers, clients, tally

_OURS = b'{"received":4,"stored":2,"duplicate":1,"rejected":[{"index":3,"reason":"too_old"}]}'


def test_our_own_answers_tell_what_became_of_each_ping() -> None:
    """Stored, duplicate and rejected add up to what was acked."""
    sums = tally.Tally(clients.NATIVE.counts)

    sums.taken(4, _OURS, 0.002)

    found = sums.summary()
    assert (found["acked"], found["stored"], found["duplicate"], found["rejected"]) == (4, 2, 1, 1)
    assert found["p50_ms"] == pytest.approx(2.0)


def test_of_an_app_only_the_answer_is_known() -> None:
    """No counts are made up."""
    sums = tally.Tally(clients.OWNTRACKS_IOS.counts)

    sums.taken(1, b"[]", 0.002)

    assert sums.summary()["acked"] == 1
    assert {"stored", "duplicate", "rejected"}.isdisjoint(sums.summary())


def test_troubles_are_named_by_their_status() -> None:
    """Also in the progress line, which is short without them."""
    sums = tally.Tally()
    assert sums.line() == "0 posted, 0 acked, p50 0.0 ms, p99 0.0 ms"

    for answer in (None, answers.Answer(503), answers.Answer(401), answers.Answer(401)):
        sums.answered(answer)
    sums.dropped += 2

    assert sums.line().endswith(", 2 dropped by the app, 2 x 401, 1 x 503, 1 x unreachable")
    found = sums.summary()
    assert (found["requests"], found["unreachable"], found["dropped"]) == (4, 1, 2)
    assert (found["answers_401"], found["answers_503"]) == (2, 1)
