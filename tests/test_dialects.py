"""What each app writes is what the service reads."""

from __future__ import annotations

import datetime

import pytest

from geoingest import ping
from geoingest.ingest import apps
from geoingest.ingest.protocols import message
from geoingest.local import clients, dialects, traces
from tests import test_protocols

_FIX = traces.Fix(
    datetime.datetime(2026, 11, 22, 10, 0, 7, tzinfo=datetime.UTC), 52.516312, -13.377704
)
_DECODE = {app.path: app.decode for app in apps.APPS}
_APPS = [
    client
    for variants in clients.PROTOCOLS.values()
    for client in variants
    if client is not clients.NATIVE
]


def _decoded(client: clients.Client, parcel: dialects.Parcel) -> message.Message:
    request = client.write(parcel, "a-token")
    path, _, query = request.target.partition("?")
    kind = request.headers.get("Content-Type", "").partition(";")[0]
    return _DECODE[path.rstrip("/")](message.Request(query, kind, request.body, 0.0))


def _key(item: object) -> tuple[float, float, float]:
    found = test_protocols.values(item)
    moment = ping.instant(found["timestamp"]).timestamp()
    return moment, found["latitude"], found["longitude"]


@pytest.mark.parametrize("client", _APPS, ids=lambda client: client.name)
def test_a_fix_arrives_as_it_was_recorded(client: clients.Client) -> None:
    """Its second and its place, and readings that an app does not have are no readings."""
    sent = _decoded(client, dialects.Parcel([_FIX]))

    (item,) = sent.items
    assert _key(item) == (_FIX.timestamp.timestamp(), _FIX.latitude, _FIX.longitude)
    found = test_protocols.values(item)
    assert found["battery"] == pytest.approx(80)
    if client is not clients.TRACCAR_ANDROID:
        assert "course" not in found


@pytest.mark.parametrize("client", [clients.OVERLAND, clients.COLOTA], ids=lambda one: one.name)
def test_a_request_holds_many_in_order(client: clients.Client) -> None:
    """And at its end the newest, where the app sends that too."""
    later = _FIX._replace(timestamp=_FIX.timestamp + datetime.timedelta(seconds=1))
    sent = _decoded(client, dialects.Parcel([_FIX, later], current=_FIX))

    expected = [_FIX, later, _FIX] if client.sends_current else [_FIX, later]
    assert [_key(item)[0] for item in sent.items] == [fix.timestamp.timestamp() for fix in expected]


def test_only_traccar_puts_the_token_where_the_device_is_named() -> None:
    """The others have a header or the address of their user for it."""
    told = {client.name for client in _APPS if _decoded(client, dialects.Parcel([_FIX])).token}

    assert told == {one.name for one in (*clients.PROTOCOLS["traccar"], clients.GPSLOGGER)}
