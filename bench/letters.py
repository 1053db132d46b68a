"""What our own clients and the apps write for the same fixes: request line, headers, body, a slot for the token."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import NamedTuple

# Where whoever sends it stands: in the address, in a header, in the body, once or twice.
SLOT = "\0"
_JSON = "application/json"
_FORM = "application/x-www-form-urlencoded; charset=UTF-8"
_ALTITUDE_M = 34.0


class Fix(NamedTuple):
    """What a phone knows at one moment, in our units."""

    unix_seconds: int
    latitude: float
    longitude: float
    accuracy_m: float
    speed_mps: float
    course: float
    battery: int


class Letter(NamedTuple):
    """One request, still without its length."""

    line: str
    headers: Sequence[str]
    body: str = ""


def native(fixes: Sequence[Fix]) -> Letter:
    """POST /v1/pings, an object or an array."""
    pings = [
        {
            "timestamp": _stamp(fix, ".000Z"),
            "latitude": fix.latitude,
            "longitude": fix.longitude,
            "accuracy": fix.accuracy_m,
            "altitude": _ALTITUDE_M,
            "speed": fix.speed_mps,
            "course": fix.course,
            "battery": fix.battery,
        }
        for fix in fixes
    ]
    headers = ("User-Agent: phone/1.0", f"Authorization: Bearer {SLOT}", f"Content-Type: {_JSON}")
    return Letter("POST /v1/pings", headers, _compact(pings if len(pings) > 1 else pings[0]))


def traccar_query(fixes: Sequence[Fix]) -> Letter:
    """Traccar Client up to 8."""
    agent = ("User-Agent: Dalvik/2.1.0 (Linux; U; Android 13)", "Connection: Keep-Alive")
    return Letter(f"POST /v1/traccar?{_parameters(fixes[0])}", agent)


def traccar_form(fixes: Sequence[Fix]) -> Letter:
    """Traccar Client 10."""
    headers = ("User-Agent: ktor-client", "Accept: */*", f"Content-Type: {_FORM}")
    return Letter("POST /v1/traccar", headers, f"{_parameters(fixes[0])}&charge=false")


def traccar_json(fixes: Sequence[Fix]) -> Letter:
    """Traccar Client 9."""
    (fix,) = fixes
    stamp = _stamp(fix, ".000Z")
    body = {
        "_": f"&id={SLOT}&lat={fix.latitude}&lon={fix.longitude}&timestamp={stamp}&",
        "location": {
            "event": "motionchange",
            "is_moving": True,
            "uuid": "0b7c3c52-8a0e-4c55-9f1c-2f4a1d6f0d11",
            "age": 0,
            "timestamp": stamp,
            "odometer": 0.0,
            "coords": {
                "latitude": fix.latitude,
                "longitude": fix.longitude,
                "accuracy": fix.accuracy_m,
                "speed": fix.speed_mps,
                "speed_accuracy": 0.5,
                "heading": fix.course,
                "heading_accuracy": -1,
                "altitude": _ALTITUDE_M,
            },
            "activity": {"type": "walking", "confidence": 100},
            "battery": {"level": fix.battery / 100, "is_charging": False},
            "extras": {},
        },
        "device_id": SLOT,
    }
    headers = ("User-Agent: okhttp/4.12.0", f"Content-Type: {_JSON}")
    return Letter("POST /v1/traccar", headers, _compact(body))


def owntracks(fixes: Sequence[Fix]) -> Letter:
    """OwnTracks for Android."""
    (fix,) = fixes
    body = {
        "_type": "location",
        "_id": "f3a1",
        "acc": round(fix.accuracy_m),
        "alt": round(_ALTITUDE_M),
        "batt": fix.battery,
        "bs": 1,
        "cog": round(fix.course),
        "conn": "m",
        "created_at": fix.unix_seconds + 2,
        "lat": fix.latitude,
        "lon": fix.longitude,
        "m": 1,
        "t": "u",
        "tid": "5t",
        "topic": "owntracks/jane/phone",
        "tst": fix.unix_seconds,
        "vac": 2,
        "vel": round(fix.speed_mps * 3.6),
    }
    headers = (
        "User-Agent: Owntracks-Android/gms/420500000",
        f"Authorization: Basic {SLOT}",
        "X-Limit-U: jane",
        "X-Limit-D: phone",
        f"Content-Type: {_JSON}; charset=utf-8",
    )
    return Letter("POST /v1/owntracks", headers, _compact(body))


def overland(fixes: Sequence[Fix]) -> Letter:
    """Overland."""
    features = [
        {
            "type": "Feature",
            "geometry": {"type": "Point", "coordinates": [fix.longitude, fix.latitude]},
            "properties": {
                "timestamp": _stamp(fix, "Z"),
                "altitude": round(_ALTITUDE_M),
                "speed": fix.speed_mps,
                "course": fix.course,
                "horizontal_accuracy": fix.accuracy_m,
                "vertical_accuracy": -1,
                "motion": ["walking"],
                "battery_state": "unplugged",
                "battery_level": fix.battery / 100,
                "device_id": "",
                "wifi": "",
            },
        }
        for fix in fixes
    ]
    headers = (f"Authorization: Bearer {SLOT}", f"Content-Type: {_JSON}")
    return Letter("POST /v1/overland", headers, _compact({"locations": features}))


def gpslogger(fixes: Sequence[Fix]) -> Letter:
    """GPSLogger, with all that it knows: %ALL."""
    (fix,) = fixes
    local, utc = _stamp(fix, ".000"), _stamp(fix, ".000Z")
    query = (
        f"token={SLOT}&lat={fix.latitude}&lon={fix.longitude}&sat=9&desc=&alt={_ALTITUDE_M}"
        f"&acc={fix.accuracy_m}&dir={fix.course}&prov=gps&spd_kph={fix.speed_mps * 3.6:.2f}"
        f"&spd={fix.speed_mps}&timestamp={fix.unix_seconds}"
        f"&timeoffset={local.replace(':', '%3A')}%2B00%3A00&time={utc.replace(':', '%3A')}"
        f"&starttimestamp={fix.unix_seconds - 600}&date={utc[:10]}&batt={fix.battery}.0"
        "&ischarging=false&aid=9a1f&ser=9a1f&act=&filename=today&profile=Default&hdop=&vdop=&pdop=&dist=0&"
    )
    return Letter(f"GET /v1/gpslogger?{query}", ("User-Agent: okhttp/4.12.0",))


def _parameters(fix: Fix) -> str:
    knots = fix.speed_mps * 3600 / 1852
    return (
        f"id={SLOT}&timestamp={fix.unix_seconds}&lat={fix.latitude}&lon={fix.longitude}"
        f"&speed={knots:.2f}&bearing={fix.course}&altitude={_ALTITUDE_M}&accuracy={fix.accuracy_m}"
        f"&batt={fix.battery}"
    )


def _stamp(fix: Fix, ending: str) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(fix.unix_seconds)) + ending


def _compact(document: object) -> str:
    # The slot as the byte that it is.
    return json.dumps(document, separators=(",", ":")).replace("\\u0000", SLOT)
