"""What each app sends, as its own sources and documents show it, comes to exact values in our units."""

from __future__ import annotations

import datetime
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoingest import ping
from geoingest.ingest import apps, fixes
from geoingest.ingest.protocols import (
    colota,
    gpslogger,
    message,
    overland,
    owntracks,
    traccar,
)
from tests import test_ping

RECEIVED_AT = 1_750_000_000.25
_FORM = "application/x-www-form-urlencoded"


def _request(query: str = "", body: bytes | object = b"", kind: str = "") -> message.Request:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    kind = kind or ("" if isinstance(body, bytes) else "application/json")
    return message.Request(query, kind, raw, RECEIVED_AT)


def values(item: object) -> dict[str, Any]:
    """What an item holds, whichever way it has come; the timestamp in microseconds since 2000."""
    if isinstance(item, ping.PingBody):
        item = msgspec.structs.asdict(item)
    assert isinstance(item, dict)
    known = {name: value for name, value in item.items() if value is not None}
    return {**known, "timestamp": _us(item["timestamp"])}


def _us(timestamp: object) -> int:
    if isinstance(timestamp, str):
        timestamp = datetime.datetime.fromisoformat(timestamp)
    if isinstance(timestamp, datetime.datetime):
        return ping.instant_us(timestamp)
    assert isinstance(timestamp, int | float)
    return ping.number_us(timestamp)


def _only(sent: message.Message) -> dict[str, Any]:
    (item,) = sent.items
    return values(item)


_OVERLAND = {
    "type": "Feature",
    "geometry": {"type": "Point", "coordinates": [-122.030581, 37.331800]},
    "properties": {
        "timestamp": "2015-10-01T08:00:00-0700",
        "altitude": 0,
        "speed": 4,
        "course": -1,
        "horizontal_accuracy": 30,
        "vertical_accuracy": -1,
        "motion": ["driving", "stationary"],
        "battery_state": "charging",
        "battery_level": 0.80,
        "device_id": "",
        "wifi": "",
    },
}
_TRACCAR_9 = {
    "_": "&id=48241179&lat=37.4219983&lon=-122.084&timestamp=2025-06-15T13:45:12.862Z&",
    "location": {
        "event": "motionchange",
        "is_moving": False,
        "timestamp": "2025-06-15T13:45:12.862Z",
        "coords": {
            "latitude": 37.4219983,
            "longitude": -122.084,
            "accuracy": 5,
            "speed": 2.5,
            "heading": -1,
            "altitude": 5,
        },
        "battery": {"level": 0.5, "is_charging": False},
        "extras": {},
    },
    "device_id": "48241179",
}


MESSAGES = [
    pytest.param(
        traccar.decode,
        _request(
            "id=123456789012345&timestamp=1377177267&lat=60.0&lon=30.0&speed=10.0&bearing=0.0"
            "&altitude=0.0&accuracy=0.0&batt=87.0"
        ),
        {
            "timestamp": 1377177267.0,
            "latitude": 60.0,
            "longitude": 30.0,
            "altitude": 0.0,
            "speed": pytest.approx(5.14444, abs=1e-4),
            "course": 0.0,
            "battery": 87.0,
        },
        id="Traccar Client for Android up to 8",
    ),
    pytest.param(
        traccar.decode,
        _request(
            body=b"id=48241179&lat=37.4219983&lon=-122.084&timestamp=1749995112&accuracy=5.0"
            b"&altitude=5.0&speed=36.29&bearing=63.0&batt=79&charge=false",
            kind=_FORM,
        ),
        {
            "timestamp": 1749995112.0,
            "latitude": 37.4219983,
            "longitude": -122.084,
            "accuracy": 5.0,
            "altitude": 5.0,
            "speed": pytest.approx(18.6692, abs=1e-3),
            "course": 63.0,
            "battery": 79.0,
        },
        id="Traccar Client 10",
    ),
    pytest.param(
        traccar.decode,
        _request(body=_TRACCAR_9),
        {
            "timestamp": "2025-06-15T13:45:12.862Z",
            "latitude": 37.4219983,
            "longitude": -122.084,
            "accuracy": 5.0,
            "altitude": 5.0,
            "speed": 2.5,
            "battery": 50.0,
        },
        id="Traccar Client 9",
    ),
    pytest.param(
        traccar.decode,
        _request("id=7&location=52.5,13.25&timestamp=1749995112500"),
        {"timestamp": 1749995112.5, "latitude": 52.5, "longitude": 13.25},
        id="OsmAnd, in milliseconds",
    ),
    pytest.param(
        traccar.decode,
        _request("id=7&lat=52.5&lon=13.25&timestamp=2025-06-15%2013:45:12"),
        {"timestamp": "2025-06-15T13:45:12+00:00", "latitude": 52.5, "longitude": 13.25},
        id="OsmAnd, as text in UTC",
    ),
    pytest.param(
        traccar.decode,
        _request("id=7&lat=52.5&lon=13.25"),
        {"timestamp": RECEIVED_AT, "latitude": 52.5, "longitude": 13.25},
        id="OsmAnd without a time",
    ),
    pytest.param(
        owntracks.decode,
        _request(
            body={
                "_type": "location", "cog": 271, "lon": 2.29513, "acc": 5, "vel": 61,
                "vac": 21, "lat": 48.85833, "tst": 1497349316, "alt": 167, "tid": "JJ",
                "t": "u", "batt": 67,
            }
        ),
        {
            "timestamp": 1497349316.0,
            "latitude": 48.85833,
            "longitude": 2.29513,
            "accuracy": 5.0,
            "altitude": 167.0,
            "speed": pytest.approx(16.9444, abs=1e-3),
            "course": 271.0,
            "battery": 67.0,
        },
        id="OwnTracks",
    ),
    pytest.param(
        owntracks.decode,
        _request(
            body={
                "_type": "location", "lat": "48.5", "lon": "2.25", "tst": "1497349316",
                "acc": 0, "batt": -100,
            }
        ),
        {"timestamp": 1497349316.0, "latitude": 48.5, "longitude": 2.25},
        id="OwnTracks, numbers as strings and values that mean unknown",
    ),
    pytest.param(
        overland.decode,
        _request(body={"locations": [_OVERLAND]}),
        {
            "timestamp": "2015-10-01T08:00:00-07:00",
            "latitude": 37.3318,
            "longitude": -122.030581,
            "accuracy": 30.0,
            "altitude": 0.0,
            "speed": 4.0,
            "battery": 80.0,
        },
        id="Overland",
    ),
    pytest.param(
        gpslogger.decode,
        _request(
            "lat=12.193&lon=19.456&sat=9&desc=&alt=0.0&acc=0.0&dir=0.0&prov=gps&spd_kph=36.0"
            "&spd=10.0&timestamp=1457205869&timeoffset=2016-03-05T21:24:29.949%2B02:00"
            "&time=2016-03-05T19:24:29.949Z&starttimestamp=0&date=2016-03-05&batt=55.0&act="
            "&hdop=&vdop=&"
        ),
        {
            "timestamp": "2016-03-05T19:24:29.949Z",
            "latitude": 12.193,
            "longitude": 19.456,
            "speed": 10.0,
            "battery": 55.0,
        },
        id="GPSLogger, all of it",
    ),
    pytest.param(
        gpslogger.decode,
        _request("token=abc", b"lat=12.193&longitude=19.456&timestamp=1457205869&spd_kph=36&acc="),
        {
            "timestamp": 1457205869.0,
            "latitude": 12.193,
            "longitude": 19.456,
            "speed": pytest.approx(10.0),
        },
        id="GPSLogger, in a body without a type",
    ),
    pytest.param(
        colota.decode,
        _request(
            body={
                "_type": "location", "lat": 52.5, "lon": 13.25, "acc": 8, "alt": 40, "vel": 3.2,
                "batt": 81, "bs": 2, "tst": 1750000000, "cog": 90.0,
            }
        ),
        {
            "timestamp": 1750000000.0,
            "latitude": 52.5,
            "longitude": 13.25,
            "accuracy": 8.0,
            "altitude": 40.0,
            "speed": 3.2,
            "course": 90.0,
            "battery": 81.0,
        },
        id="Colota, whose speed is in metres per second",
    ),
    pytest.param(
        colota.decode,
        _request(body={"device_id": "7", "locations": [_OVERLAND]}),
        {
            "timestamp": "2015-10-01T08:00:00-07:00",
            "latitude": 37.3318,
            "longitude": -122.030581,
            "accuracy": 30.0,
            "altitude": 0.0,
            "speed": 4.0,
            "battery": 80.0,
        },
        id="Colota, in Overland's envelope",
    ),
    pytest.param(
        traccar.decode,
        _request("id=7&lat=52.5&lon=13.25&timestamp=1749995112&valid=false"),
        {"timestamp": 1749995112.0, "latitude": 52.5, "longitude": 13.25, "valid": False},
        id="OsmAnd, a fix that is not valid",
    ),
    pytest.param(
        overland.decode,
        _request(
            body={
                "locations": [
                    {
                        **_OVERLAND,
                        "properties": {"timestamp": "2015-10-01T15:00:00Z", "horizontal_accuracy": -1},
                    }
                ]
            }
        ),
        {
            "timestamp": "2015-10-01T15:00:00Z",
            "latitude": 37.3318,
            "longitude": -122.030581,
            "valid": False,
        },
        id="Overland, whose receiver had no fix",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("app", "sent", "expected"), MESSAGES)
def test_a_message_comes_to_exact_values(
    app: Any, sent: message.Request, expected: dict[str, object]
) -> None:
    """In UTC, degrees, metres, metres per second, percent; what is unknown is left out."""
    assert _only(app(sent)) == values(expected)


@pytest.mark.parametrize(("app", "sent", "expected"), MESSAGES)
def test_the_careful_way_comes_to_the_same(
    app: Any,
    sent: message.Request,
    expected: dict[str, object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As if everything about it were unusual."""

    def unusual(*_values: object, **_more: object) -> None:
        raise message.UnusualError

    monkeypatch.setattr(message, "usual", unusual)

    assert isinstance(app(sent).items[0], dict)
    assert _only(app(sent)) == values(expected)


def test_what_the_apps_themselves_send_goes_the_quick_way() -> None:
    """The careful one is for what hardly comes."""
    quick = [
        param.id
        for param in MESSAGES
        if isinstance(param.values[0](param.values[1]).items[0], ping.PingBody)  # type: ignore[operator]  # a decoder
    ]

    assert quick == [
        "Traccar Client for Android up to 8",
        "Traccar Client 10",
        "Traccar Client 9",
        "OwnTracks",
        "Overland",
        "GPSLogger, all of it",
        "Colota, whose speed is in metres per second",
        "Colota, in Overland's envelope",
    ]


TOKENS = [
    (traccar.decode, _request("id=secret&lat=1&lon=2"), "secret"),
    (traccar.decode, _request("deviceid=secret&lat=1&lon=2"), "secret"),
    (traccar.decode, _request(body=_TRACCAR_9), "48241179"),
    (traccar.decode, _request(body=[{"id": "secret", "lat": 1, "lon": 2}]), "secret"),
    (gpslogger.decode, _request("lat=1&lon=2&token=secret"), "secret"),
    (overland.decode, _request("token=secret", {"locations": []}), "secret"),
    (owntracks.decode, _request(body={"_type": "lwt"}), None),
    (owntracks.decode, _request(body={"_type": "encrypted", "data": "c2VhbGVk"}), None),
]


@pytest.mark.parametrize(("app", "sent", "token"), TOKENS)
def test_the_token_is_where_the_app_can_put_it(
    app: Any, sent: message.Request, token: str | None
) -> None:
    """As identifier or parameter; else it stands in a header."""
    assert app(sent).token == token


_KINDS = (
    *("transition", "waypoint", "waypoints", "lwt", "card", "status", "steps", "beacon", "dump"),
    *("cmd", "configuration", "request", "new"),
)


WITHOUT_A_FIX = [
    (traccar.decode, _request("id=7&timestamp=1749995112&batt=79&charge=true")),
    (owntracks.decode, _request()),
    *((owntracks.decode, _request(body={"_type": kind, "lat": 1})) for kind in _KINDS),
    (gpslogger.decode, _request("act=&token=abc")),
    (
        overland.decode,
        _request(body={"locations": [{"type": "Feature", "properties": {"action": "log"}}]}),
    ),
    (
        overland.decode,
        _request(
            body={"locations": [{**_OVERLAND, "properties": {"action": "visit"}}]},
        ),
    ),
]


@pytest.mark.parametrize(("app", "sent"), WITHOUT_A_FIX)
def test_what_tells_of_no_fix_is_ignored(app: Any, sent: message.Request) -> None:
    """Heartbeats, visits, waypoints: no ping, and none rejected."""
    assert (app(sent).items, app(sent).ignored) == ([], 1)


def test_overlands_newest_fix_is_one_more_ping() -> None:
    """It is not among the batch while older ones drain."""
    sent = overland.decode(_request(body={"locations": [_OVERLAND] * 3, "current": _OVERLAND}))

    assert len(sent.items) == 4


_names = st.sampled_from(
    [
        "_type",
        "lat",
        "lon",
        "tst",
        "created_at",
        "acc",
        "vel",
        "batt",
        "location",
        "coords",
        "latitude",
        "longitude",
        "timestamp",
        "battery",
        "level",
        "locations",
        "current",
        "geometry",
        "type",
        "coordinates",
        "properties",
        "speed",
        "id",
        "device_id",
        "_",
    ]
)
_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_names, inner, max_size=5),
    max_leaves=8,
)
_pairs = st.lists(st.tuples(_names, st.text(max_size=12)), max_size=6)


def check(app: apps.App, request: message.Request) -> None:
    """Nothing but ValueError comes out, and what comes out is admitted or rejected with a reason."""
    try:
        sent = app.decode(request)
    except ValueError:
        return
    # From 2000 on, so that what the apps' own documents show is admitted.
    terms = test_ping.terms()._replace(oldest_us=0)
    found = fixes.decode(sent.items, terms)
    assert found.received == len(found.pings) + len(found.rejected) == len(sent.items)


@pytest.mark.parametrize("app", apps.APPS, ids=lambda app: app.name)
@given(
    document=_values,
    query=_pairs.map(lambda pairs: "&".join(f"{name}={value}" for name, value in pairs)),
    raw=st.none() | st.binary(max_size=60),
)
def test_whatever_is_sent_is_a_message_or_none(
    app: apps.App, document: object, query: str, raw: bytes | None
) -> None:
    """Values of every kind under the apps' names; for how long, tests/fuzz_protocols.py measures."""
    body = json.dumps(document).encode() if raw is None else raw
    for kind in ("application/json", _FORM):
        check(app, message.Request(query, kind, body, RECEIVED_AT))
