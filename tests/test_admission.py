"""What the service decides on each decoded ping, and the row that it makes of it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from geoingest import ping
from geoingest.ingest import admission, rows
from tests import test_ping


@given(test_ping.pings)
def test_an_admitted_ping_is_encoded_as_rows_encode_does(values: ping.Ping) -> None:
    """The fast encoder and the plain one give the same bytes, whatever is missing."""
    sender = ping.Sender(values.device_id, values.student_id)
    terms = ping.Admission(
        sender, set(), values.received_us, test_ping.OLDEST_US, test_ping.NEWEST_US
    )
    body = ping.PingBody(ping.instant(values.timestamp_us), *values[3:10])
    values = values._replace(flags=None)

    admitted = admission.admit([body], terms)

    assert admitted == [rows.encode(values)]


def test_the_window_includes_both_of_its_edges() -> None:
    """90 days old and 5 minutes ahead are taken; a microsecond more is not."""
    edges = (
        test_ping.OLDEST_US - 1,
        test_ping.OLDEST_US,
        test_ping.NEWEST_US,
        test_ping.NEWEST_US + 1,
    )

    outcomes = [_admit(timestamp=ping.instant(at)) for at in edges]

    assert outcomes[0] == "too_old"
    assert isinstance(outcomes[1], ping.Ping)
    assert isinstance(outcomes[2], ping.Ping)
    assert outcomes[3] == "in_future"


@pytest.mark.parametrize(
    ("sender", "named", "student_id"),
    [
        *((test_ping.PHONE, None, 1), (test_ping.PHONE, 1, 1), (test_ping.PHONE, 2, None)),
        *((test_ping.GATEWAY, 2, 2), (test_ping.GATEWAY, 3, None), (test_ping.GATEWAY, None, None)),
    ],
)
def test_whose_position_it_is(
    sender: ping.Sender, named: int | None, student_id: int | None
) -> None:
    """A phone reports only its own student; a gateway must name one that exists."""
    outcome = _admit(sender, student_id=named)

    if student_id is None:
        assert outcome == "unknown_student"
    else:
        assert isinstance(outcome, ping.Ping)
        assert (outcome.student_id, outcome.device_id) == (student_id, sender.device_id)


@pytest.mark.parametrize(("sent", "kept"), [(None, None), (0.4, 0), (99.6, 100), (100, 100)])
def test_battery_becomes_whole_percent(sent: float | None, kept: int | None) -> None:
    """Phones send fractions of a percent; the column holds whole ones."""
    outcome = _admit(battery=sent)

    assert isinstance(outcome, ping.Ping)
    assert outcome.battery == kept


def _admit(sender: ping.Sender = test_ping.PHONE, **members: Any) -> ping.Ping | ping.Reason:
    body: dict[str, Any] = {"timestamp": test_ping.NOW, "latitude": 1.0, "longitude": 2.0}
    (outcome,) = admission.admit([ping.PingBody(**{**body, **members})], test_ping.terms(sender))
    return outcome if isinstance(outcome, str) else rows.decode(outcome)
