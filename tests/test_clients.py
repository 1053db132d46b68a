"""Each app by its rules: which answer it takes for success, and what it does after any other."""

from __future__ import annotations

import itertools

import pytest

from geoingest.local import answers, clients

_JSON = "application/json"
_EVERY = [client for variants in clients.PROTOCOLS.values() for client in variants]
_APPS = [client for client in _EVERY if client is not clients.NATIVE]


def _answer(status: int, body: bytes = b"", kind: str = _JSON) -> answers.Answer:
    return answers.Answer(status, kind, body)


@pytest.mark.parametrize("client", _EVERY, ids=lambda client: client.name)
def test_no_answer_is_never_a_success(client: clients.Client) -> None:
    """No app forgets what it cannot know to have arrived."""
    assert client.judge(None) == "kept"


@pytest.mark.parametrize("client", _APPS, ids=lambda client: client.name)
def test_503_is_kept_by_all_but_one(client: clients.Client) -> None:
    """Traccar Client 8 for iOS takes any answer for the end of it."""
    expected = "dropped" if client is clients.TRACCAR_IOS else "kept"

    assert client.judge(_answer(503)) == expected


@pytest.mark.parametrize(
    ("client", "fate"),
    [
        (clients.NATIVE, "hopeless"),
        (clients.TRACCAR_ANDROID, "kept"),
        (clients.TRACCAR_IOS, "dropped"),
        (clients.TRACCAR_9, "kept"),
        (clients.TRACCAR_10, "kept"),
        (clients.OWNTRACKS_ANDROID, "kept"),
        (clients.OWNTRACKS_ANDROID_257, "kept"),
        (clients.OWNTRACKS_IOS, "dropped"),
        (clients.OVERLAND, "kept"),
        (clients.COLOTA, "halved"),
        (clients.GPSLOGGER, "kept"),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_a_4xx_is_a_success_to_none(client: clients.Client, fate: answers.Fate) -> None:
    """It is sent again, looked into, or lost."""
    assert {client.judge(_answer(status)) for status in (400, 404, 413, 422)} == {fate}


def test_429_is_for_our_own_phones_alone() -> None:
    """They come again; to an app it is a 4xx as any other."""
    assert clients.NATIVE.judge(_answer(429)) == "kept"
    assert clients.OWNTRACKS_IOS.judge(_answer(429)) == "dropped"


def test_a_redirect_is_a_success_to_traccar_8_alone() -> None:
    """Everyone else sends again."""
    taken = {client.name for client in _APPS if client.judge(_answer(302)) == "taken"}

    assert taken == {clients.TRACCAR_ANDROID.name, clients.TRACCAR_IOS.name}


def test_traccar_9_knows_three_successes() -> None:
    """200, 201 and 204, and no other 2xx."""
    taken = [
        status for status in range(200, 300) if clients.TRACCAR_9.judge(_answer(status)) == "taken"
    ]

    assert taken == [200, 201, 204]


@pytest.mark.parametrize("body", [b"", b"{}", b'{"result":"ok"}', b"[", b"\xff"])
def test_owntracks_257_wants_an_array(body: bytes) -> None:
    """Anything else is a failure to it, and nothing to the versions since."""
    assert clients.OWNTRACKS_ANDROID_257.judge(_answer(200, body)) == "kept"
    assert clients.OWNTRACKS_ANDROID_257.judge(_answer(200, b"[]")) == "taken"
    assert clients.OWNTRACKS_ANDROID.judge(_answer(200, body)) == "taken"


@pytest.mark.parametrize(
    "answer",
    [
        _answer(200),
        _answer(200, b"[]"),
        _answer(200, b"{}"),
        _answer(200, b'{"result":"error"}'),
        _answer(200, b'{"result":"ok"}', "text/plain"),
        _answer(503, b'{"result":"ok"}'),
    ],
)
def test_overland_wants_to_read_that_it_is_ok(answer: answers.Answer) -> None:
    """2xx, JSON by its Content-Type, and `{"result":"ok"}`, all three."""
    assert clients.OVERLAND.judge(answer) == "kept"
    assert clients.OVERLAND.judge(_answer(201, b'{"result":"ok"}')) == "taken"


@pytest.mark.parametrize(
    ("client", "expected"),
    [
        (clients.TRACCAR_ANDROID, [30, 30, 30]),
        (clients.TRACCAR_10, [5, 10, 20, 40, 80, 160, 300, 300]),
        (clients.OWNTRACKS_ANDROID, [1, 2, 4, 8, 16, 32, 64, 120, 120]),
        (clients.OWNTRACKS_IOS, [1, 2, 4, 8, 16, 32, 64, 64]),
        (clients.COLOTA, [30, 60, 300, 900, 900]),
        (clients.GPSLOGGER, [30, 60]),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_pauses_are_those_of_the_app(client: clients.Client, expected: list[float]) -> None:
    """Seconds after each failure in a row, up to the longest."""
    paused = [client.pause_seconds(number, None) for number in range(1, len(expected) + 1)]

    assert paused == expected


def test_only_our_own_phones_read_retry_after() -> None:
    """They come again when they are told to; no app looks at it."""
    told = answers.Answer(503, _JSON, b"", 7.0)

    heeding = [client.name for client in _EVERY if client.pause_seconds(1, told) == 7.0]

    assert heeding == [clients.NATIVE.name]


def test_every_client_has_a_name_of_its_own() -> None:
    """What a test or a log says of one is said of no other."""
    assert all(one.name != other.name for one, other in itertools.combinations(_EVERY, 2))
