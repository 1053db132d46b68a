"""A ping's own rules, and the makers of pings that the tests around it share."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoingest import ping
from geoingest.ingest import rows

SECOND_US = 1_000_000
DAY_US = 86_400 * SECOND_US
# Real time, because the partitions of the test databases lie around it.
NOW = datetime.datetime.now(datetime.UTC)
NOW_US = ping.instant_us(NOW)
OLDEST_US, NEWEST_US = NOW_US - 90 * DAY_US, NOW_US + 300 * SECOND_US
_SECOND = datetime.timedelta(seconds=1)
PHONE = ping.Sender(device_id=7, student_id=1)
GATEWAY = ping.Sender(device_id=8, student_id=None)

pings = st.builds(
    ping.Ping,
    student_id=st.integers(1, 2**63 - 1),
    timestamp_us=st.integers(OLDEST_US, NEWEST_US),
    device_id=st.integers(1, 2**31 - 1),
    latitude=st.floats(-90, 90),
    longitude=st.floats(-180, 180),
    accuracy=st.none() | st.floats(0, 1e7),
    altitude=st.none() | st.floats(-1e5, 1e6),
    speed=st.none() | st.floats(0, 1e5),
    course=st.none() | st.floats(0, 360),
    battery=st.none() | st.integers(0, 100),
    flags=st.none() | st.integers(1, 7),
    received_us=st.integers(OLDEST_US, NEWEST_US),
)

# What devices may send: each JSON member in all of its forms.
_UNIX_SECONDS = (int(NOW.timestamp()) - 90 * 86_400 + 1, int(NOW.timestamp()) + 299)
timestamps = st.one_of(
    st.integers(*_UNIX_SECONDS),
    st.integers(*_UNIX_SECONDS).map(lambda seconds: seconds * 1000),
    st.floats(*_UNIX_SECONDS),
    st.builds(
        lambda at, minutes: (
            ping.instant(at)
            .astimezone(datetime.timezone(datetime.timedelta(minutes=minutes)))
            .isoformat()
        ),
        st.integers(OLDEST_US, NEWEST_US),
        st.integers(-1439, 1439),
    ),
)
bodies = st.fixed_dictionaries(
    {
        "timestamp": timestamps,
        "latitude": st.floats(-90, 90) | st.integers(-90, 90),
        "longitude": st.floats(-180, 180) | st.integers(-180, 180),
    },
    optional={
        "accuracy": st.none() | st.floats(0, 1e7),
        "altitude": st.none() | st.floats(-1e5, 1e6),
        "speed": st.none() | st.floats(0, 1e5),
        "course": st.none() | st.floats(0, 360),
        "battery": st.none() | st.floats(0, 100) | st.integers(0, 100),
        "student_id": st.none() | st.just(1),
        "provider": st.text() | st.lists(st.integers()),
    },
)


def row(number: int = 0, **changes: Any) -> ping.Ping:  # any column's value, also a wrong one
    """The number-th ping of one phone, each a second older than the one before."""
    at = NOW_US - number * SECOND_US
    made = ping.Ping(1, at, 7, 52.520008, 13.404954, 5.0, None, 1.5, 90.0, 80, None, NOW_US)
    return made._replace(**changes)


def encoded(number: int = 0, **changes: Any) -> rows.Row:
    """The same as the row that is stored."""
    return rows.encode(row(number, **changes))


def terms(sender: ping.Sender = PHONE) -> ping.Admission:
    """What the service admits now from this sender, in a school of the students 1 and 2."""
    return ping.Admission(sender, {1, 2}, NOW_US, OLDEST_US, NEWEST_US)


@given(
    st.datetimes(timezones=st.just(datetime.UTC)).filter(lambda at: 1 < at.year < 9999),
    st.integers(-1439, 1439),
)
def test_an_instant_survives_to_the_microsecond(
    local: datetime.datetime, offset_minutes: int
) -> None:
    """Microseconds and back give the same instant, whatever the offset it came with."""
    zone = datetime.timezone(datetime.timedelta(minutes=offset_minutes))
    given_at = local.replace(tzinfo=zone)

    back = ping.instant(ping.instant_us(given_at))

    assert back == given_at
    assert back.tzinfo is datetime.UTC


@given(st.integers(10**8, 10**11 - 1))
def test_seconds_and_milliseconds_are_told_apart_by_size(seconds: int) -> None:
    """The same moment in seconds and in milliseconds is one timestamp, from 1973 to 5138."""
    moment = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC) + seconds * _SECOND

    assert ping.number_us(seconds) == ping.number_us(seconds * 1000) == ping.instant_us(moment)


@pytest.mark.parametrize("number", [1_790_000_000.123457, 1_790_000_000_123.457])
def test_fractions_are_kept(number: float) -> None:
    """A float of seconds or of milliseconds keeps its microseconds."""
    assert ping.instant(ping.number_us(number)).microsecond == 123_457


@pytest.mark.parametrize("number", [1e308, 10**400, 2**63])
def test_a_number_of_any_size_is_a_time_far_away(number: float) -> None:
    """A senseless number overflows nothing and lies outside of every window."""
    assert ping.number_us(number) > NEWEST_US
    assert ping.number_us(-number) < OLDEST_US
