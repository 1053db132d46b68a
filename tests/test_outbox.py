"""A phone's queue by the rules of its app, with answers and a clock that the test makes up."""

from __future__ import annotations

import dataclasses
import datetime
import math

import pytest

from geoingest.local import answers, clients, outbox, traces

_START = datetime.datetime(2026, 11, 22, 10, tzinfo=datetime.UTC)
_OK = answers.Answer(200, "application/json", b'{"result":"ok"}')
_BUSY = answers.Answer(503)
_BAD = answers.Answer(400)
_APPS = [
    client
    for variants in clients.PROTOCOLS.values()
    for client in variants
    if client is not clients.OWNTRACKS_ANDROID_257
]


def _fixes(count: int) -> list[traces.Fix]:
    """A fix each second, a degree of longitude apart."""
    step = datetime.timedelta(seconds=1)
    return [traces.Fix(_START + number * step, 52.5, float(number)) for number in range(count)]


def _box(client: clients.Client, count: int) -> outbox.Outbox:
    box = outbox.Outbox(client)
    box.add(_fixes(count))
    return box


def _numbers(box: outbox.Outbox, now: float) -> list[int]:
    """Which fixes the next request carries."""
    parcel = box.take(now)
    assert parcel is not None
    return [int(fix.longitude) for fix in parcel.fixes]


def _answered(box: outbox.Outbox, answer: answers.Answer | None, now: float) -> list[int]:
    """Which fixes the next request carries, now that it is answered."""
    numbers = _numbers(box, now)
    box.answered(answer, now)
    return numbers


@pytest.mark.parametrize("client", _APPS, ids=lambda client: client.name)
def test_what_is_taken_is_forgotten_in_order(client: clients.Client) -> None:
    """Every fix leaves once, oldest first, in requests of the app's size."""
    box = _box(client, 450)

    sent: list[int] = []
    while len(box):
        numbers = _answered(box, _OK, 0.0)
        assert len(numbers) <= client.most_fixes
        sent += numbers

    assert sent == list(range(450))
    assert (box.due_at, box.take(0.0), box.dropped) == (math.inf, None, [])


@pytest.mark.parametrize(
    "client",
    [clients.TRACCAR_ANDROID, clients.TRACCAR_10, clients.OWNTRACKS_ANDROID, clients.OVERLAND],
    ids=lambda client: client.name,
)
def test_the_same_is_sent_again_after_a_pause(client: clients.Client) -> None:
    """What was not taken stays at the head, for ever, and nothing overtakes it."""
    box = _box(client, 300)
    first = _answered(box, _BUSY, 0.0)
    now = box.due_at

    assert now == client.pauses_seconds[0]
    assert box.take(now - 0.01) is None
    for _ in range(50):
        assert _answered(box, _BAD, box.due_at) == first
    assert (len(box), box.dropped) == (300, [])


def test_a_success_ends_the_row_of_failures() -> None:
    """The next pause is the shortest again."""
    box = _box(clients.OWNTRACKS_IOS, 3)
    for _ in range(3):
        _answered(box, None, max(0.0, box.due_at))
    now = box.due_at
    assert now == 1 + 2 + 4

    _answered(box, _OK, now)
    _answered(box, None, now)

    assert box.due_at == now + 1


def test_pauses_can_be_shortened() -> None:
    """All by the same factor."""
    box = outbox.Outbox(clients.TRACCAR_ANDROID, pause_factor=0.01)
    box.add(_fixes(1))

    _answered(box, None, 0.0)

    assert box.due_at == pytest.approx(0.3)


def test_our_own_phones_are_not_in_step() -> None:
    """After a lost connection each waits between half a pause and a whole one."""
    for _ in range(20):
        box = _box(clients.NATIVE, 1)
        _answered(box, None, 0.0)
        assert 0.5 <= box.due_at <= 1


@pytest.mark.parametrize("answer", [_BUSY, _BAD])
def test_traccar_8_for_ios_loses_a_fix_on_any_answer(answer: answers.Answer) -> None:
    """Only where nothing comes back it tries again."""
    box = _box(clients.TRACCAR_IOS, 2)

    assert _answered(box, None, 0.0) == [0]
    assert _answered(box, answer, 30.0) == [0]
    assert _answered(box, _OK, 30.0) == [1]
    assert box.dropped == [outbox.Dropped(_fixes(1)[0], answer)]


def test_owntracks_for_ios_loses_a_fix_on_a_4xx() -> None:
    """It goes on with the next at once, and keeps everything on 503."""
    box = _box(clients.OWNTRACKS_IOS, 2)

    assert _answered(box, _BUSY, 0.0) == [0]
    assert _answered(box, _BAD, 1.0) == [0]
    assert _answered(box, _OK, 1.0) == [1]
    assert box.dropped == [outbox.Dropped(_fixes(1)[0], _BAD)]


def test_traccar_9_waits_for_its_next_location() -> None:
    """A new fix ends the pause; the oldest is sent first all the same."""
    box = _box(clients.TRACCAR_9, 2)
    _answered(box, _BUSY, 0.0)
    assert box.take(1.0) is None

    box.add(_fixes(1))

    assert _numbers(box, 1.0) == [0]


def test_gpslogger_tries_each_fix_three_times() -> None:
    """After 30 s, after 60 s more, then it is gone; the others overtake it meanwhile."""
    box = _box(clients.GPSLOGGER, 3)

    assert _answered(box, _BUSY, 0.0) == [0]
    assert _answered(box, _OK, 0.0) == [1]
    assert _answered(box, None, 0.0) == [2]
    assert (_answered(box, None, 30.0), _answered(box, _OK, 30.0)) == ([0], [2])
    assert box.due_at == 90.0
    assert _answered(box, _BUSY, 90.0) == [0]
    assert box.dropped == [outbox.Dropped(_fixes(1)[0], _BUSY)]
    assert len(box) == 0


def test_colota_finds_the_one_that_is_in_the_way() -> None:
    """A 4xx halves the request again and again; all others get through, the bad one is kept."""
    box = _box(clients.COLOTA, 120)
    stored: list[int] = []
    while box.due_at <= 0.0:
        numbers = _numbers(box, 0.0)
        is_bad = 33 in numbers
        stored += [] if is_bad else numbers
        box.answered(_BAD if is_bad else _OK, 0.0)

    assert sorted(stored) == [number for number in range(120) if number != 33]
    assert (len(box), box.due_at, box.dropped) == (1, 30.0, [])
    assert _answered(box, _BAD, 30.0) == [33]
    assert box.due_at == 30.0 + 60.0


@pytest.mark.parametrize("answer", [_BUSY, None])
def test_colota_stops_its_pass_when_the_service_is_away(answer: answers.Answer | None) -> None:
    """Also amid halves; the next pass begins with the oldest again."""
    box = _box(clients.COLOTA, 60)
    assert _answered(box, _BAD, 0.0) == list(range(50))
    assert _answered(box, _OK, 0.0) == list(range(25))

    assert _answered(box, answer, 0.0) == list(range(25, 50))

    assert (len(box), box.due_at) == (35, 30.0)
    assert _numbers(box, 30.0) == list(range(25, 60))


def test_overland_sends_its_newest_beside_a_backlog() -> None:
    """`current` is there while more is queued than a request takes, and stays in the queue."""
    box = _box(clients.OVERLAND, 401)
    currents = []
    while (parcel := box.take(0.0)) is not None:
        currents.append(parcel.current)
        box.answered(_OK, 0.0)

    assert currents == [_fixes(401)[-1], _fixes(401)[-1], None]


@pytest.mark.parametrize(
    ("client", "lost"),
    [(clients.OWNTRACKS_ANDROID, [0, 1]), (clients.OWNTRACKS_IOS, [3, 4])],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_full_queue_loses_one_end(client: clients.Client, lost: list[int]) -> None:
    """The oldest on Android, the newest on iOS; no answer had a part in it."""
    box = _box(dataclasses.replace(client, most_queued=3), 5)

    assert [(int(one.fix.longitude), one.answer) for one in box.dropped] == [
        (number, None) for number in lost
    ]
    assert len(box) == 3


@pytest.mark.parametrize("client", _APPS, ids=lambda client: client.name)
def test_nothing_is_lost_while_it_is_on_its_way(client: clients.Client) -> None:
    """What a request carries counts as queued until it is answered."""
    box = _box(client, 3)

    _numbers(box, 0.0)

    assert len(box) == 3
