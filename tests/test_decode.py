"""Bytes become checked pings: one bad ping never harms its neighbours, and says why."""

from __future__ import annotations

import datetime
import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from geoingest import errors, ping
from geoingest.ingest import content, decode, rows
from tests import test_ping

_AT = 37  # where the odd one stands among 99 good pings
_NOW = test_ping.NOW
_SECONDS = _NOW.timestamp()
_LINES = pytest.mark.parametrize("lines", [False, True], ids=["array", "ndjson"])


def _good(**members: object) -> str:
    body = {"timestamp": _NOW.isoformat(), "latitude": 52.5, "longitude": 13.4}
    return json.dumps({**body, **members})


def _literal(literal: str, name: str = "latitude") -> str:
    """A good ping but for one member, whose value is written as it stands."""
    return _good(**{name: "@"}).replace('"@"', literal)


def _ago(**time: float) -> str:
    return (_NOW - datetime.timedelta(**time)).isoformat()


# Those of DESIGN 5.4 and whatever else phones and attackers send; reasons as the device is told.
_POISONS: dict[str, tuple[str, ping.Reason]] = {
    "latitude 91": (_literal("91"), "latitude_out_of_range"),
    "latitude of 400 digits": (_literal("9" * 400), "latitude_out_of_range"),
    "longitude -180.001": (_literal("-180.001", "longitude"), "longitude_out_of_range"),
    "bare NaN": (_literal("NaN"), "not_finite"),
    "bare -Infinity": (_literal("-Infinity", "longitude"), "not_finite"),
    "1e400": (_literal("1e400"), "not_finite"),
    "timestamp 1e400": (_literal("1e400", "timestamp"), "not_finite"),
    "latitude true": (_literal("true"), "malformed"),
    "timestamp true": (_literal("true", "timestamp"), "malformed"),
    "latitude as text": (_literal('"52.5"'), "malformed"),
    "timestamp as text of a number": (_literal('"1790000000"', "timestamp"), "malformed"),
    "latitude null": (_literal("null"), "malformed"),
    "latitude as a list": (_literal("[52.5]"), "malformed"),
    "no timestamp": ('{"latitude": 52.5, "longitude": 13.4}', "missing_timestamp"),
    "timestamp null": (_literal("null", "timestamp"), "missing_timestamp"),
    "no latitude": (json.dumps({"timestamp": _SECONDS, "longitude": 13.4}), "malformed"),
    "naive time": (_good(timestamp=_NOW.replace(tzinfo=None).isoformat()), "malformed"),
    "far future": (_good(timestamp="2099-01-01T00:00:00Z"), "in_future"),
    "year 9999 with an offset": (_good(timestamp="9999-12-31T23:59:59-12:00"), "in_future"),
    "year 1 with an offset": (_good(timestamp="0001-01-01T00:00:00+12:00"), "too_old"),
    "91 days old": (_good(timestamp=_ago(days=91)), "too_old"),
    "NUL in a string": (_good(timestamp=_NOW.isoformat() + "\0"), "malformed"),
    "lone surrogate": (_good(timestamp="\ud800"), "malformed"),
    "student beyond 64 bits": (_literal(str(2**64), "student_id"), "malformed"),
    "timestamp beyond 64 bits": (_literal(str(10**30), "timestamp"), "in_future"),
    "number of 5,000 digits": (_literal("9" * 5000, "timestamp"), "in_future"),
    "not an object": ("17", "malformed"),
    "null": ("null", "malformed"),
    "nested 1,000 deep": ("[" * 1000 + "]" * 1000, "malformed"),
    "nested 1,020 deep": ("[" * 1020 + "]" * 1020, "malformed"),
    "another's student": (_good(student_id=2), "unknown_student"),
}
# All that JSON can say and more: bare NaN, lone surrogates, integers of any size.
_text = st.text(st.characters(), max_size=5) | st.just("\ud800")
_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.just(10**400) | st.floats() | _text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_text, inner, max_size=3),
    max_leaves=6,
)
_names = st.sampled_from([*ping.PingBody.__struct_fields__, "provider"]) | _text
_anything = _values | st.builds(
    lambda valid, changes: {**valid, **changes},
    test_ping.bodies,
    st.dictionaries(_names, _values | test_ping.timestamps, max_size=3),
)


def test_an_object_is_one_ping() -> None:
    """A body may be a single ping without an array around it."""
    decoded = _decode(_good(speed=1.5))

    assert decoded.received == 1
    assert [one[:4] for one in _pings(decoded)] == [(1, test_ping.NOW_US, 7, 52.5)]
    assert _pings(decoded)[0].speed == 1.5


@_LINES
def test_many_pings_keep_their_order(lines: bool) -> None:
    """An array and NDJSON give the pings in the order they were sent."""
    decoded = _decode(_body([_good(latitude=number) for number in range(90)], lines), lines)

    assert [one.latitude for one in _pings(decoded)] == list(range(90))


def test_lines_may_be_blank_and_end_as_on_windows() -> None:
    """NDJSON: blank lines count for nothing, CRLF ends a line, and so does the body."""
    decoded = _decode(f"\r\n{_good()}\r\n\r\n{_good(latitude=91)}\n\n{_good()}", lines=True)

    assert (decoded.received, len(decoded.pings)) == (3, 2)
    assert [one.position for one in decoded.rejected] == [1]


def test_a_line_that_is_no_json_is_one_rejected_ping() -> None:
    """NDJSON: a broken line costs itself and is kept as it came."""
    decoded = _decode(f'{_good()}\n{{"latitude": 5\n{_good()}', lines=True)

    assert len(decoded.pings) == 2
    assert [one[:3] for one in decoded.rejected] == [(1, "malformed", b'{"latitude": 5')]


@pytest.mark.parametrize(
    "timestamp",
    [
        *(_SECONDS, int(_SECONDS), _SECONDS * 1000, int(_SECONDS) * 1000),
        *(_NOW.isoformat(), _NOW.isoformat().replace("+00:00", "Z")),
    ],
    # Names without the instant: several processes of one run must find the same tests.
    ids=["s", "whole s", "ms", "whole ms", "offset", "Z"],
)
def test_timestamps_of_every_kind(timestamp: float | str) -> None:
    """RFC 3339, seconds and milliseconds, whole or with a fraction, mean the same moment."""
    (row,) = _pings(_decode(_good(timestamp=timestamp)))

    tolerance_us = 1_000_000 if isinstance(timestamp, int) else 1
    assert abs(row.timestamp_us - test_ping.NOW_US) <= tolerance_us


@given(st.lists(test_ping.bodies, min_size=1, max_size=5), st.booleans())
@settings(deadline=None)
def test_fast_path_and_salvage_path_agree(bodies: list[dict[str, Any]], lines: bool) -> None:
    """What the fast path takes, the salvage path takes as the same rows."""
    body = _body([json.dumps(one) for one in bodies], lines).encode()
    terms = test_ping.terms()

    fast = decode.decode(body, lines=lines, terms=terms, max_pings=5)
    slow = decode._salvaged(body, lines=lines, terms=terms, max_pings=5)

    assert isinstance(fast.rejected, tuple), "the fast path takes a body of valid pings"
    assert len(fast.pings) == len(bodies)
    assert slow == (len(bodies), fast.pings, [], [])


@_LINES
@pytest.mark.parametrize("name", _POISONS)
def test_a_poison_harms_no_neighbour(name: str, lines: bool) -> None:
    """Of 99 good pings and a poison, 99 are taken and the poison is named."""
    text, reason = _POISONS[name]

    decoded = _decode(_among_good(text, lines), lines)

    assert len(decoded.pings) == 99
    assert [one[:2] for one in decoded.rejected] == [(_AT, reason)]
    assert decoded.rejected[0].raw
    assert decoded.rejected[0][3:] == (test_ping.PHONE.device_id, test_ping.NOW_US)


@pytest.mark.parametrize("named", [{}, {"student_id": None}, {"student_id": 3}])
def test_a_gateway_must_name_a_student_that_exists(named: dict[str, object]) -> None:
    """A bus unit's ping of nobody is rejected, and costs none of the others."""
    good = _good(student_id=2)

    decoded = _decode(_body([good, _good(**named), good]), sender=test_ping.GATEWAY)

    assert [(one.student_id, one.device_id) for one in _pings(decoded)] == [(2, 8), (2, 8)]
    assert [one[:2] for one in decoded.rejected] == [(1, "unknown_student")]


@_LINES
@pytest.mark.parametrize("field", ping.OPTIONAL_FIELDS)
@pytest.mark.parametrize("literal", ['"full"', '"50"', "true", "1e9", "NaN", "1e400", "[]"])
def test_nonsense_about_a_battery_does_not_cost_the_position(
    field: str, literal: str, lines: bool
) -> None:
    """An optional field of the wrong type or range is stored as NULL, and named."""
    decoded = _decode(_among_good(_literal(literal, field), lines), lines)

    assert (len(decoded.pings), list(decoded.rejected)) == (100, [])
    assert list(decoded.ignored) == [(_AT, field)]
    assert getattr(_pings(decoded)[_AT], field) is None


@_LINES
@pytest.mark.parametrize(
    "text",
    [
        pytest.param(_literal(r'"\ud800"', "provider"), id="lone surrogate"),
        pytest.param(_literal(r'"\u0000"', "provider"), id="NUL"),
        pytest.param(_literal("NaN", "provider"), id="NaN"),
        pytest.param(_literal("9" * 400, "provider"), id="400 digits"),
        pytest.param(_literal("[" * 500 + "]" * 500, "provider"), id="500 deep"),
        pytest.param(_literal("17", "\ud800"), id="named by a lone surrogate"),
    ],
)
def test_a_member_nobody_asked_for_is_ignored_whatever_it_holds(text: str, lines: bool) -> None:
    """Unknown members are no reason to reject or to report."""
    decoded = _decode(_among_good(text, lines), lines)

    assert (len(decoded.pings), len(decoded.rejected), len(decoded.ignored)) == (100, 0, 0)


def test_quarantine_keeps_the_first_kilobyte_as_it_was_sent() -> None:
    """The raw value is what the device sent, cut to 1,024 bytes, also where it is no JSON."""
    odd, long = _literal("NaN"), _good(latitude=91, provider="x" * 2000)

    decoded = _decode("\n".join([odd, long, long[:-1], _good()]), lines=True)

    assert b"NaN" in decoded.rejected[0].raw
    assert [len(one.raw) for one in decoded.rejected[1:]] == [1024, 1024]


@_LINES
@pytest.mark.parametrize("latitude", [1, 91], ids=["fast", "salvage"])
def test_more_pings_than_one_request_may_hold(latitude: int, lines: bool) -> None:
    """The limit itself is taken; one more is a body too large, also when a ping in it is bad."""
    pings = [_good(latitude=latitude)] * 3

    decoded = _decode(_body(pings, lines), lines, max_pings=3)

    assert decoded.received == 3
    with pytest.raises(errors.BodyTooLargeError):
        _decode(_body(pings, lines), lines, max_pings=2)


_TOO_DEEP = "[" * 100_000 + "]" * 100_000


@_LINES
@pytest.mark.parametrize(
    "body", ["hello", "{", "[1,", '{"a":1}{', "latitude=1", pytest.param(_TOO_DEEP, id="deep")]
)
def test_what_is_no_json_at_all_is_malformed(body: str, lines: bool) -> None:
    """Only then is the whole request refused, with 400."""
    with pytest.raises(errors.MalformedBodyError):
        _decode(body, lines)


@given(st.lists(test_ping.bodies, min_size=1, max_size=5), st.booleans())
def test_the_estimate_is_right_for_what_phones_send(
    bodies: list[dict[str, Any]], lines: bool
) -> None:
    """The count without decoding is the number of pings, of one alone too; never less than one."""
    items = [json.dumps(one) for one in bodies]

    assert decode.estimate(_body(items, lines).encode(), lines=lines) == len(bodies)
    assert decode.estimate(items[0].encode(), lines=False) == 1
    assert decode.estimate(b"", lines=lines) == 1


@pytest.mark.parametrize(("body", "lines"), [("[]", False), ("", True), ("\n \r\n", True)])
def test_no_pings_are_no_error(body: str, lines: bool) -> None:
    """A phone with nothing to say is told that nothing was received."""
    assert _decode(body, lines)[:2] == (0, [])


@given(st.binary() | st.binary().map(lambda some: b'[{"timestamp":' + some), st.booleans())
@example(b"\xff\xfe[\x001\x00]\x00", False)
@settings(deadline=None)
def test_any_bytes_at_all(body: bytes, lines: bool) -> None:
    """Whatever arrives, the caller is told; nothing else is raised."""
    try:
        decoded = decode.decode(body, lines=lines, terms=test_ping.terms(), max_pings=9)
    except errors.CallerError:
        return

    assert decoded.received == len(decoded.pings) + len(decoded.rejected)


@given(st.lists(_anything, max_size=4), st.booleans())
@settings(deadline=None, max_examples=300)
def test_good_pings_are_taken_whatever_stands_beside_them(items: list[Any], lines: bool) -> None:
    """Any JSON values between two good pings leave them whole and every ping accounted for."""
    body = _body([_good(), *map(json.dumps, items), _good()], lines)

    decoded = _decode(body, lines)

    assert decoded.received == len(items) + 2 == len(decoded.pings) + len(decoded.rejected)
    taken = _pings(decoded)
    assert [one.timestamp_us for one in (taken[0], taken[-1])] == [test_ping.NOW_US] * 2
    assert not {0, len(items) + 1} & {one.position for one in decoded.rejected}


def _decode(
    body: str, lines: bool = False, *, sender: ping.Sender = test_ping.PHONE, max_pings: int = 100
) -> content.Decoded:
    terms = test_ping.terms(sender)
    return decode.decode(body.encode(), lines=lines, terms=terms, max_pings=max_pings)


def _pings(decoded: content.Decoded) -> list[ping.Ping]:
    return list(map(rows.decode, decoded.pings))


def _body(items: list[str], lines: bool = False) -> str:
    return "\n".join(items) if lines else f"[{','.join(items)}]"


def _among_good(text: str, lines: bool) -> str:
    items = [_good()] * 99
    items.insert(_AT, text)
    return _body(items, lines)
