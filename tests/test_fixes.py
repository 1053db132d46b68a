"""What phones are known to get wrong is put right where that is certain, and marked."""

from __future__ import annotations

import datetime
import json
from typing import Any

import pytest

from geoingest import ping
from geoingest.ingest import fixes, rows
from geoingest.ingest.protocols import message
from tests import test_ping

_NOW = int(test_ping.NOW.timestamp())
_WEEKS_1024 = 619_315_200
_FROM_2001 = 978_307_200


def _item(timestamp: object = _NOW, **more: Any) -> dict[str, object]:
    return message.item(timestamp, 52.5, 13.25, **more)


def _only(item: object) -> ping.Ping:
    (row,) = fixes.decode([item], test_ping.terms()).pings
    return rows.decode(row)


def _reason(item: object, *, oldest_us: int = test_ping.OLDEST_US) -> str:
    (rejected,) = fixes.decode([item], test_ping.terms()._replace(oldest_us=oldest_us)).rejected
    return rejected.reason


@pytest.mark.parametrize(
    ("behind", "flag"),
    [(_WEEKS_1024, ping.Flag.GPS_ROLLOVER), (_FROM_2001, ping.Flag.EPOCH_2001)],
)
@pytest.mark.parametrize("form", [float, lambda seconds: seconds * 1000, "text"])
def test_a_known_fault_of_the_clock_is_put_right(
    behind: int,
    flag: ping.Flag,
    form: Any,  # what makes a timestamp
) -> None:
    """In each form of a timestamp, and the row says so."""
    wrong = _NOW - behind
    sent = (
        datetime.datetime.fromtimestamp(wrong, datetime.UTC).isoformat()
        if form == "text"
        else form(wrong)
    )

    stored = _only(_item(sent))

    assert (stored.timestamp_us, stored.flags) == (ping.number_us(_NOW), flag)


@pytest.mark.parametrize("age", [91 * 86_400, _WEEKS_1024 + 91 * 86_400, _FROM_2001 - 301])
def test_what_no_known_fault_explains_is_too_old(age: int) -> None:
    """Nothing is guessed: the corrected time must lie within what is taken."""
    assert _reason(_item(_NOW - age)) == "too_old"


def test_the_quick_way_is_looked_at_again_when_one_is_not_admitted() -> None:
    """Put right, rejected with what it was, or as it is: each by itself."""
    ages_days = [0, 91, _WEEKS_1024 // 86_400]
    times = [test_ping.NOW - datetime.timedelta(days=age) for age in ages_days]
    items = [ping.PingBody(at, 52.5, 13.25, speed=1.5) for at in times]

    found = fixes.decode(items, test_ping.terms())

    assert [rows.decode(row).flags for row in found.pings] == [None, ping.Flag.GPS_ROLLOVER]
    assert [(one.position, one.reason) for one in found.rejected] == [(1, "too_old")]
    assert json.loads(found.rejected[0].raw)["timestamp"] == times[1].isoformat().replace(
        "+00:00", "Z"
    )


def test_what_two_faults_would_explain_is_too_old() -> None:
    """With many years taken, either could be meant."""
    years = 20 * 365 * test_ping.DAY_US
    old = _item(_NOW - _FROM_2001)

    assert _reason(old, oldest_us=test_ping.NOW_US - years) == "too_old"


def test_a_right_time_is_never_altered() -> None:
    """Not even where a correction would be plausible, too."""
    stored = _only(_item(_NOW - 3600))

    assert (stored.timestamp_us, stored.flags) == (ping.number_us(_NOW - 3600), None)


def test_a_fix_that_is_not_valid_is_marked_and_its_neighbours_are_not() -> None:
    """All are kept."""
    items = [_item(_NOW - 2), _item(_NOW - 1, valid=False), _item(_NOW)]

    found = fixes.decode(items, test_ping.terms())

    assert [rows.decode(row).flags for row in found.pings] == [None, ping.Flag.INVALID, None]


def test_marks_add_up() -> None:
    """Not valid, and put right."""
    stored = _only(_item(_NOW - _WEEKS_1024, valid=False))

    assert stored.flags == ping.Flag.INVALID | ping.Flag.GPS_ROLLOVER


@pytest.mark.parametrize("place", [(0, 0), (0.0, -0.0)])
def test_null_island_is_no_place(place: tuple[float, float]) -> None:
    """Exactly 0, 0 is what a receiver without a fix says; the equator itself is one."""
    assert _reason(message.item(_NOW, *place)) == "null_island"
    assert _only(message.item(_NOW, 0, 13.25)).latitude == 0
