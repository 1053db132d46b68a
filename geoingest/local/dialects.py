"""How each app writes its fixes as one HTTP request, with its own word for what it does not know."""

from __future__ import annotations

import base64
import datetime
import urllib.parse
from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeAlias

import orjson

from geoingest.local import traces

_BATTERY_PERCENT = 80
_JSON = {"Content-Type": "application/json"}


class Parcel(NamedTuple):
    """What goes in one request; `current` is the newest fix, beside older ones that drain."""

    fixes: list[traces.Fix]
    current: traces.Fix | None = None


class Request(NamedTuple):
    """`target` is the path with its query; no body is no Content-Type either."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


# The second argument is the device's token.
Write: TypeAlias = Callable[[Parcel, str], Request]


def native(parcel: Parcel, token: str) -> Request:
    """POST /v1/pings: an object for one ping, an array for many."""
    pings = [fix._asdict() for fix in parcel.fixes]
    body = orjson.dumps(pings[0] if len(pings) == 1 else pings)
    return Request("POST", "/v1/pings", {**_JSON, "Authorization": f"Bearer {token}"}, body)


def traccar_android(parcel: Parcel, token: str) -> Request:
    """Traccar Client for Android up to 8: all in the query, 0.0 for what the receiver did not say."""
    said = {"speed": "0.0", "bearing": "0.0", "altitude": "0.0", "accuracy": "0.0"}
    query = urllib.parse.urlencode(_osmand(parcel, token) | said | {"batt": "80.0"})
    return Request("POST", f"/v1/traccar/?{query}", {}, b"")


def traccar_ios(parcel: Parcel, token: str) -> Request:
    """Traccar Client for iOS up to 8: the same, speed and bearing left out where they are not known."""
    fields = _osmand(parcel, token) | {"altitude": "0.0", "accuracy": "0.0", "batt": "80.0"}
    return Request("POST", f"/v1/traccar/?{urllib.parse.urlencode(fields)}", {}, b"")


def traccar_json(parcel: Parcel, token: str) -> Request:
    """Traccar Client 9: one location in an envelope, -1 for what is not known."""
    (fix,) = parcel.fixes
    at = _iso(fix, "milliseconds")
    coords = {
        "latitude": fix.latitude,
        "longitude": fix.longitude,
        "accuracy": 5,
        "speed": -1,
        "heading": -1,
    }
    document = {
        "_": f"&id={token}&lat={fix.latitude}&lon={fix.longitude}&timestamp={at}&",
        "location": {
            "timestamp": at,
            "coords": coords,
            "battery": {"level": _BATTERY_PERCENT / 100, "is_charging": False},
            "extras": {},
        },
        "device_id": token,
    }
    return Request("POST", "/v1/traccar", _JSON, orjson.dumps(document))


def traccar_form(parcel: Parcel, token: str) -> Request:
    """Traccar Client 10: a form in the body, what is not known left out."""
    fields = _osmand(parcel, token) | {"accuracy": "5.0", "batt": str(_BATTERY_PERCENT)}
    headers = {"Content-Type": "application/x-www-form-urlencoded; charset=UTF-8"}
    return Request("POST", "/v1/traccar", headers, urllib.parse.urlencode(fields).encode())


def owntracks(parcel: Parcel, token: str) -> Request:
    """OwnTracks: one message, the token as password."""
    (fix,) = parcel.fixes
    password = base64.b64encode(f"phone:{token}".encode()).decode()
    headers = {"Authorization": f"Basic {password}", "X-Limit-U": "phone", "X-Limit-D": "phone"}
    message = {
        "_type": "location",
        "lat": fix.latitude,
        "lon": fix.longitude,
        "tst": _seconds(fix),
        "acc": 5,
        "batt": _BATTERY_PERCENT,
        "tid": "ph",
        "topic": "owntracks/phone/phone",
    }
    return Request("POST", "/v1/owntracks", _JSON | headers, orjson.dumps(message))


def overland(parcel: Parcel, token: str) -> Request:
    """Overland: features in whole seconds, -1 for what is not known, the newest one as `current`."""
    properties = {"speed": -1, "course": -1, "horizontal_accuracy": 5, "device_id": "", "wifi": ""}
    envelope: dict[str, object] = {
        "locations": [_feature(fix, properties) for fix in parcel.fixes],
    }
    if parcel.current is not None:
        envelope["current"] = _feature(parcel.current, properties)
    return _enveloped("/v1/overland", envelope, token)


def colota(parcel: Parcel, token: str) -> Request:
    """Colota: Overland's envelope with the device beside the features, and no `current`."""
    features = [_feature(fix, {"horizontal_accuracy": 5}) for fix in parcel.fixes]
    return _enveloped("/v1/colota", {"device_id": "phone", "locations": features}, token)


def gpslogger(parcel: Parcel, token: str) -> Request:
    """GPSLogger: a GET with the token of its user's URL and `%ALL`, empty where nothing is known."""
    (fix,) = parcel.fixes
    at = _iso(fix, "milliseconds")
    fields = {
        "token": token,
        "lat": str(fix.latitude),
        "lon": str(fix.longitude),
        **dict.fromkeys(("sat", "desc"), ""),
        **dict.fromkeys(("alt", "acc", "dir", "spd_kph", "spd"), "0.0"),
        "timestamp": str(_seconds(fix)),
        "timeoffset": at.replace("Z", "+00:00"),
        "time": at,
        "batt": str(_BATTERY_PERCENT),
        **dict.fromkeys(("act", "hdop", "vdop", "pdop"), ""),
    }
    return Request("GET", f"/v1/gpslogger?{urllib.parse.urlencode(fields)}&", {}, b"")


def _osmand(parcel: Parcel, token: str) -> dict[str, str]:
    (fix,) = parcel.fixes
    return {
        "id": token,
        "timestamp": str(_seconds(fix)),
        "lat": str(fix.latitude),
        "lon": str(fix.longitude),
    }


def _feature(fix: traces.Fix, properties: Mapping[str, object]) -> dict[str, object]:
    return {
        "type": "Feature",
        "geometry": {"type": "Point", "coordinates": [fix.longitude, fix.latitude]},
        "properties": {
            **properties,
            "timestamp": _iso(fix, "seconds"),
            "battery_state": "unplugged",
            "battery_level": _BATTERY_PERCENT / 100,
        },
    }


def _enveloped(path: str, envelope: Mapping[str, object], token: str) -> Request:
    headers = {**_JSON, "Authorization": f"Bearer {token}"}
    return Request("POST", path, headers, orjson.dumps(envelope))


def _seconds(fix: traces.Fix) -> int:
    return int(fix.timestamp.timestamp())


def _iso(fix: traces.Fix, timespec: str) -> str:
    instant = fix.timestamp.astimezone(datetime.UTC)
    return instant.isoformat(timespec=timespec).replace("+00:00", "Z")
