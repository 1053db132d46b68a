"""Each app is answered what makes it forget what we have, and keep what we have not."""

from __future__ import annotations

import asyncio
import base64
import datetime
import json
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any, NamedTuple

import nacl.secret
import pytest

from geoingest import http, metrics, ping
from geoingest.access import provision
from geoingest.ingest import apps
from tests import conftest

_FIX = (52.5, 13.25)
_KEY = b"a passphrase".ljust(32, b"\0")
_NAMES = [app.name for app in apps.APPS]
_SUCCESS = {app.name: app.success for app in apps.APPS}


class _Sent(NamedTuple):
    method: str
    path: str
    body: bytes = b""
    headers: Mapping[str, str] = {}


def _basic(password: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(f'jane:{password}'.encode()).decode()}"}


def _sent(app: str, token: str, at: float, place: tuple[object, object] = _FIX) -> _Sent:
    """One fix as the app sends it."""
    latitude, longitude = place
    if app == "traccar":
        query = f"id={token}&lat={latitude}&lon={longitude}&timestamp={int(at)}&speed=1"
        return _Sent("POST", f"/v1/traccar?{query}")
    if app == "gpslogger":
        query = f"lat={latitude}&lon={longitude}&timestamp={int(at)}&acc=&token={token}&"
        return _Sent("GET", f"/v1/gpslogger?{query}")
    if app == "owntracks":
        body = {"_type": "location", "lat": latitude, "lon": longitude, "tst": int(at)}
        return _Sent(
            "POST",
            "/v1/owntracks/?u=jane&d=phone",
            json.dumps(body).encode(),
            {**_basic(token), "Content-Type": http.JSON},
        )
    moment = datetime.datetime.fromtimestamp(int(at), datetime.UTC)
    feature = {
        "type": "Feature",
        "geometry": {"type": "Point", "coordinates": [longitude, latitude]},
        "properties": {"timestamp": f"{moment:%Y-%m-%dT%H:%M:%SZ}", "speed": -1},
    }
    body = {"locations": [feature]}
    headers = {"Authorization": f"Bearer {token}", "Content-Type": http.JSON}
    return _Sent("POST", f"/v1/{app}", json.dumps(body).encode(), headers)


async def _send(running: conftest.Running, sent: _Sent) -> tuple[int, str, bytes]:
    async with running.client.request(
        sent.method, sent.path, data=sent.body, headers=sent.headers, allow_redirects=False
    ) as answer:
        return answer.status, answer.content_type, await answer.read()


@pytest.fixture
async def phone(running: conftest.Running, school: list[provision.Enrolled]) -> provision.Enrolled:
    """A student whose device the running service knows."""
    await running.service.credentials.refresh()
    return school[0]


def _rows(database: conftest.Database) -> list[Any]:
    return database.query("SELECT student_id, device_id, latitude, longitude FROM geolocation_data")


@pytest.mark.parametrize("app", _NAMES)
async def test_a_fix_is_stored_and_its_duplicate_is_a_success(
    running: conftest.Running, database: conftest.Database, phone: provision.Enrolled, app: str
) -> None:
    """200 and the body that the app waits for, both times, and one row."""
    sent = _sent(app, phone.device_token, time.time() - 60)

    answers = [await _send(running, sent) for _ in range(2)]

    assert [(status, body) for status, _, body in answers] == [(200, _SUCCESS[app])] * 2
    assert _rows(database) == [(phone.student_id, phone.device_id, *_FIX)]


@pytest.mark.parametrize("app", _NAMES)
@pytest.mark.parametrize(
    "poison",
    [
        ((0, 0), "null_island"),
        ((91, 13), "latitude_out_of_range"),
        (("52,5", 13), "malformed"),
    ],
)
async def test_a_poison_message_does_not_jam_the_queue(
    running: conftest.Running,
    database: conftest.Database,
    phone: provision.Enrolled,
    app: str,
    poison: tuple[tuple[object, object], str],
) -> None:
    """It is a success to the app, and it is with the rejects."""
    place, reason = poison
    answer = await _send(running, _sent(app, phone.device_token, time.time() - 60, place))

    assert (answer[0], answer[2]) == (200, _SUCCESS[app])
    assert _rows(database) == []
    assert database.query("SELECT reason, device_id FROM rejected_pings") == [
        (reason, phone.device_id)
    ]


@pytest.mark.parametrize(
    "sent",
    [
        _Sent("POST", "/v1/owntracks", b'{"_type":"loc'),
        _Sent("POST", "/v1/owntracks", b"[1, 2]"),
        _Sent("POST", "/v1/overland", b"{}"),
        _Sent("POST", "/v1/traccar", b"\xff\xfe", {"Content-Type": http.JSON}),
    ],
)
async def test_what_is_no_message_at_all_is_a_success_too(
    running: conftest.Running,
    database: conftest.Database,
    phone: provision.Enrolled,
    sent: _Sent,
) -> None:
    """Where a header says whose it is."""
    headers = {**_basic(phone.device_token), **sent.headers}

    status, _, _ = await _send(running, sent._replace(headers=headers))

    assert status == 200
    assert database.query("SELECT reason, raw FROM rejected_pings") == [("malformed", sent.body)]


@pytest.mark.parametrize("app", ["traccar", "owntracks", "overland", "gpslogger", "colota"])
@pytest.mark.parametrize("is_chunked", [False, True])
async def test_what_is_too_large_is_a_success_and_leaves_a_trace(
    database: conftest.Database,
    start: conftest.Start,
    school: list[provision.Enrolled],
    app: str,
    is_chunked: bool,
) -> None:
    """A picture in a message, say: the phone would send it again for ever."""
    running = await start(database.settings(max_body_bytes=2000))
    token = school[0].device_token
    path = f"/v1/{app}" + (f"?id={token}" if app == "traccar" else "")
    body = b'{"_type":"location","image":"' + b"a" * 5000 + b'"}'

    async def pieces() -> AsyncIterator[bytes]:
        yield body

    async with running.client.post(
        path,
        data=pieces() if is_chunked else body,
        headers={} if app == "traccar" else _basic(token),
    ) as answer:
        told = answer.status, await answer.read()

    assert told == (200, _SUCCESS[app])
    assert database.query("SELECT reason, device_id FROM rejected_pings") == [
        ("malformed", school[0].device_id)
    ]


async def test_more_fixes_than_a_request_may_hold_are_no_message(
    database: conftest.Database, start: conftest.Start, school: list[provision.Enrolled]
) -> None:
    """Overland sends 1,000 at most: more than 5,000 are nothing that it has written."""
    running = await start(database.settings(max_body_pings=3))
    sent = _sent("overland", school[0].device_token, time.time())
    (feature,) = json.loads(sent.body)["locations"]

    for count in (3, 4):
        body = json.dumps({"locations": [feature] * count}).encode()
        assert (await _send(running, sent._replace(body=body)))[0] == 200

    assert len(_rows(database)) == 1
    assert database.query("SELECT count(*) FROM rejected_pings") == [(1,)]


@pytest.mark.parametrize(
    "body",
    [
        b'{"device_id":"%b","location":{"timestamp":%d,"coords":{"latitude":NaN,"longitude":1}}}',
        b'{"device_id":"%b","location":{"timestamp":%d,"coords":{"latitude":52.5,"longitude":13.25,'
        b'"speed":Infinity,"accuracy":NaN}}}',
    ],
)
async def test_numbers_that_are_none_in_json_are_read_as_phones_write_them(
    running: conftest.Running, database: conftest.Database, phone: provision.Enrolled, body: bytes
) -> None:
    """A client that keeps its token within the message is known all the same."""
    headers = {"Content-Type": http.JSON}
    text = body % (phone.device_token.encode(), int(time.time()))

    assert (await _send(running, _Sent("POST", "/v1/traccar", text, headers)))[0] == 200

    stored = database.query("SELECT num_nulls(speed, accuracy) FROM geolocation_data")
    assert stored + database.query("SELECT reason FROM rejected_pings") in (
        [(2,)],
        [("not_finite",)],
        [("malformed",)],
    )


async def test_quarantine_keeps_no_token(
    running: conftest.Running, database: conftest.Database, phone: provision.Enrolled
) -> None:
    """Not of a body that cannot be read, and nothing of an address: that one is a heartbeat."""
    token = phone.device_token
    headers = {**_basic(token), "Content-Type": http.JSON}
    body = b'{"device_id":"%b","location":{' % token.encode()
    sent = _Sent("POST", f"/v1/traccar?id={token}", body, headers)
    many = "&".join(f"a{number}={number}" for number in range(300))

    statuses = [
        (await _send(running, one))[0]
        for one in (sent, _Sent("GET", f"/v1/traccar?id={token}&{many}", b"", _basic(token)))
    ]

    assert statuses == [200, 200]
    assert database.query("SELECT raw FROM rejected_pings ORDER BY rejected_id") == [
        (b'{"device_id":"","location":{',),
    ]


@pytest.mark.parametrize("path", ["/v1/owntracks", "/v1/pings"])
async def test_a_token_that_is_no_text_is_not_known(
    running: conftest.Running, phone: provision.Enrolled, path: str
) -> None:
    """401, as for any other."""
    url = running.client.make_url(path)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(b"POST %b HTTP/1.1\r\nHost: a\r\n" % path.encode())
    writer.write(b"Authorization: Bearer \xff\r\n")
    writer.write(b"Content-Length: 0\r\n\r\n")

    status = await reader.readline()
    writer.close()

    assert b" 401 " in status


@pytest.mark.parametrize("app", _NAMES)
async def test_who_is_not_known_is_told_so(
    running: conftest.Running, database: conftest.Database, phone: provision.Enrolled, app: str
) -> None:
    """401, and nothing is kept."""
    status, _, _ = await _send(running, _sent(app, "wrong", time.time()))

    assert status == 401
    assert _rows(database) == []


@pytest.mark.parametrize("app", _NAMES)
async def test_what_cannot_be_stored_now_is_503(
    database: conftest.Database, start: conftest.Start, school: list[provision.Enrolled], app: str
) -> None:
    """Also for a device that posts too often: a 429 would be lost on some."""
    running = await start(database.settings(device_requests_per_second=0.1))
    token, at = school[0].device_token, time.time() - 3600
    statuses = {(await _send(running, _sent(app, token, at + number)))[0] for number in range(3)}

    assert statuses == {200, 503}


async def test_a_fix_that_is_not_valid_is_kept_and_never_newest(
    running: conftest.Running, database: conftest.Database, phone: provision.Enrolled
) -> None:
    """Its app says so itself; what is newest is asked alone and among others."""
    now = int(time.time())
    for seconds, more in ((60, ""), (30, "&valid=false")):
        query = f"id={phone.device_token}&lat=52.5&lon=13.25&timestamp={now - seconds}{more}"
        assert (await _send(running, _Sent("GET", f"/v1/traccar?{query}")))[0] == 200

    headers = {"Authorization": f"Bearer {phone.viewer_token}"}
    newest = []
    for path in (f"/v1/students/{phone.student_id}/location", "/v1/locations"):
        async with running.client.get(path, headers=headers) as answer:
            told = await answer.json()
            newest.append(told["locations"][0] if "locations" in told else told)

    moments = [datetime.datetime.fromisoformat(one["timestamp"]).timestamp() for one in newest]
    assert moments == [now - 60] * 2
    flags = 'SELECT flags FROM geolocation_data ORDER BY "timestamp"'
    assert database.query(flags) == [(None,), (ping.Flag.INVALID,)]


async def test_a_clock_that_fell_back_is_put_right_and_counted(
    running: conftest.Running, database: conftest.Database, phone: provision.Enrolled
) -> None:
    """Once: sent again it is the same ping."""
    counted = metrics.pings_corrected.labels("gps_rollover")
    before = counted._value.get()
    now = int(time.time())
    sent = _sent("owntracks", phone.device_token, now - 619_315_200)

    statuses = [(await _send(running, sent))[0] for _ in range(2)]

    assert statuses == [200, 200]
    assert database.query(
        'SELECT extract(EPOCH FROM "timestamp")::bigint, flags FROM geolocation_data'
    ) == [(now, ping.Flag.GPS_ROLLOVER)]
    assert counted._value.get() == before + 2


async def _encrypts(
    running: conftest.Running, database: conftest.Database, phone: provision.Enrolled
) -> None:
    key = "UPDATE devices SET owntracks_key = $1 WHERE device_id = $2"
    database.query(key, _KEY, phone.device_id)
    await running.service.credentials.refresh()


def _sealed(message: bytes, key: bytes = _KEY) -> bytes:
    box = bytes(nacl.secret.SecretBox(key).encrypt(message))
    return json.dumps({"_type": "encrypted", "data": base64.b64encode(box).decode()}).encode()


async def test_what_owntracks_has_encrypted_is_stored(
    running: conftest.Running, database: conftest.Database, phone: provision.Enrolled
) -> None:
    """By the key of the device; what it seals that is no position is ignored as ever."""
    await _encrypts(running, database, phone)
    sent = _sent("owntracks", phone.device_token, time.time() - 60)

    for message in (sent.body, b'{"_type":"lwt"}'):
        assert await _send(running, sent._replace(body=_sealed(message))) == (200, http.JSON, b"[]")

    assert _rows(database) == [(phone.student_id, phone.device_id, *_FIX)]
    assert database.query("SELECT count(*) FROM rejected_pings") == [(0,)]


@pytest.mark.parametrize(
    "body",
    [
        _sealed(b"{}", bytes(32)),
        _sealed(b"no json"),
        b'{"_type":"encrypted","data":"%%"}',
        b'{"_type":"encrypted"}',
        b'{"_type":"encrypted","data":"AAAA"}',
        _sealed(_sealed(b"{}")),
    ],
    ids=["another key", "no message", "no base64", "no data", "too short", "twice"],
)
@pytest.mark.parametrize("has_key", [True, False])
async def test_what_cannot_be_opened_is_a_success_and_is_kept_as_it_came(
    running: conftest.Running,
    database: conftest.Database,
    phone: provision.Enrolled,
    body: bytes,
    has_key: bool,
) -> None:
    """With the rejects: the phone goes on, and who finds the key later has lost little."""
    if has_key:
        await _encrypts(running, database, phone)
    sent = _sent("owntracks", phone.device_token, 0)._replace(body=body)

    assert (await _send(running, sent))[0] == 200

    ((reason, raw),) = database.query("SELECT reason, raw FROM rejected_pings")
    assert reason == "malformed"
    assert b"encrypted" in bytes(raw)  # type: ignore[call-overload]  # as selected


@pytest.mark.parametrize(
    ("app", "success"),
    [
        ("traccar", b""),
        (
            "owntracks",
            b'[{"_type":"cmd","action":"setConfiguration","configuration":{"_type":"configuration",'
            b'"locatorInterval":20,"moveModeLocatorInterval":20}}]',
        ),
        ("overland", b'{"result":"ok","set":{"send_interval":"30s"}}'),
        ("gpslogger", b""),
        ("colota", b'{"result":"ok"}'),
    ],
)
async def test_an_app_can_be_told_how_often_to_send(
    database: conftest.Database,
    start: conftest.Start,
    school: list[provision.Enrolled],
    app: str,
    success: bytes,
) -> None:
    """Where it listens to that, in its own steps; the others hear what they always do."""
    running = await start(database.settings(app_interval_seconds=20))

    answer = await _send(running, _sent(app, school[0].device_token, time.time() - 60))

    assert (answer[0], answer[2]) == (200, success)


@pytest.mark.parametrize("app", ["owntracks", "overland"])
async def test_a_stranger_with_a_password_is_not_even_decoded(
    running: conftest.Running, phone: provision.Enrolled, app: str
) -> None:
    """Where the token stands in a header, what cannot be read is 401 as well."""
    sent = _Sent("POST", f"/v1/{app}", b"{" * 1000, _basic("wrong"))

    assert (await _send(running, sent))[0] == 401


@pytest.mark.parametrize("app", _NAMES)
async def test_a_slash_at_the_end_is_no_redirect(
    running: conftest.Running, phone: provision.Enrolled, app: str
) -> None:
    """Some apps refuse a redirect, others lose the body on it."""
    sent = _sent(app, phone.device_token, time.time() - 60)
    path, mark, query = sent.path.partition("?")
    for one in (path.rstrip("/"), f"{path.rstrip('/')}/"):
        assert (await _send(running, sent._replace(path=one + mark + query)))[0] == 200
