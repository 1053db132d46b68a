"""A phone whose queue begins with what can never be a ping: what is behind it gets through."""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import datetime

from geoingest import ping
from geoingest.access import provision
from geoingest.local import clients, dialects, traces
from tests import conftest, handsets, processes
from tests.oracle import stored

_BEHIND = 12
# A phone that is not in anybody's way is done in a fraction of this.
_JAM_SECONDS = 3.0
_GARBLED_AT = 13.125


def _queue() -> list[traces.Fix]:
    """Three that are poison, and good ones."""
    start = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    places = [
        (91.0, 13.25),
        (52.5, _GARBLED_AT),
        (0.0, 0.0),
        *((52.5, 13.25 + number / 1000) for number in range(_BEHIND)),
    ]
    return [
        traces.Fix(start + datetime.timedelta(seconds=number - 900), *place)
        for number, place in enumerate(places)
    ]


def _garbling(client: clients.Client) -> clients.Client:
    """The same app, which writes one of its fixes so that it cannot be read."""
    # In a request with others it breaks only itself, alone the whole body; but for Traccar Client 9,
    # which says only there whose it is, so that a body which cannot be read is nobody's: 401.
    is_whole = client.most_fixes > 1 or client.name == clients.TRACCAR_9.name
    known = str(_GARBLED_AT)
    garbled = {f":{known}": f':"{known},5"', f"[{known}": f'["{known},5"'}
    if not is_whole:
        garbled = {known: f"{known},5"}

    def write(parcel: dialects.Parcel, token: str) -> dialects.Request:
        request = client.write(parcel, token)
        target, body = request.target, request.body
        for one, other in garbled.items():
            target, body = target.replace(one, other), body.replace(one.encode(), other.encode())
        return request._replace(target=target, body=body)

    return dataclasses.replace(client, write=write)


def _rejects(
    database: conftest.Database, phone: handsets.Handset
) -> collections.Counter[ping.Reason]:
    found = database.query(
        "SELECT reason FROM rejected_pings WHERE device_id = $1", phone.student.device_id
    )
    return collections.Counter(reason for (reason,) in found)  # type: ignore[misc]  # as selected


async def test_a_phone_gets_past_poison(
    database: conftest.Database, school: list[provision.Enrolled]
) -> None:
    """Every app: all that is behind is stored, the poison is with the rejects, the queue is empty."""
    apps = [_garbling(client) for client in handsets.APPS]
    async with (
        processes.serving(database) as service,
        handsets.of(service.url, school, apps=apps) as phones,
    ):
        for phone in phones:
            phone.record(_queue())

        settled = await asyncio.gather(*(phone.settle() for phone in phones))

    assert all(settled)
    rows = stored.rows(database)
    for phone in phones:
        assert [rows[key] for key in phone.keys] == [0] * 3 + [1] * _BEHIND, phone.client.name
        assert not phone.outbox.dropped
        assert _rejects(database, phone) == {
            "latitude_out_of_range": 1,
            "malformed": 1,
            "null_island": 1,
        }


async def test_a_4xx_for_poison_jams_some_apps_and_loses_on_others(
    database: conftest.Database, school: list[provision.Enrolled]
) -> None:
    """A build that answers 400 is found out: by whom it stops, and by whom it makes drop a fix."""
    jammed = (clients.TRACCAR_ANDROID, clients.TRACCAR_10, clients.OWNTRACKS_ANDROID)
    losing = (clients.TRACCAR_IOS, clients.OWNTRACKS_IOS)
    async with (
        processes.serving(database, module="tests.broken.refuses_poison") as service,
        handsets.of(service.url, school, apps=(*jammed, *losing)) as phones,
    ):
        for phone in phones:
            phone.record(_queue())
        settled = await asyncio.gather(*(phone.settle(seconds=_JAM_SECONDS) for phone in phones))

    rows = stored.rows(database)
    assert settled == [False] * len(jammed) + [True] * len(losing)
    for phone in phones[: len(jammed)]:
        assert not any(rows[key] for key in phone.keys)
        assert len(phone.outbox) == len(phone.fixes)
    for phone in phones[len(jammed) :]:
        assert {one.answer and one.answer.status for one in phone.outbox.dropped} == {400}


async def test_an_empty_answer_holds_owntracks_257_for_ever(
    database: conftest.Database, school: list[provision.Enrolled]
) -> None:
    """A build that answers OwnTracks with no body is found out by the one that wants an array."""
    apps = (clients.OWNTRACKS_ANDROID_257, clients.OWNTRACKS_ANDROID, clients.OWNTRACKS_IOS)
    async with (
        processes.serving(database, module="tests.broken.empty_answers") as service,
        handsets.of(service.url, school, apps=apps) as phones,
    ):
        for phone in phones:
            phone.record(_queue())
        settled = await asyncio.gather(*(phone.settle(seconds=_JAM_SECONDS) for phone in phones))

    assert settled == [False, True, True]
    assert len(phones[0].outbox) == len(phones[0].fixes)
