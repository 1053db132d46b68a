"""The benches of the phone apps send what the apps send, and count what became of all of it."""

from __future__ import annotations

import time

import orjson
import pytest

from bench import dialects, replays
from geoingest.ingest import apps, fixes
from geoingest.ingest.protocols import message
from tests import benches, test_ping, test_protocols

_TOKENS = ("token-of-a-phone", "token-of-another")
_WAYS = (*dialects.APPS, dialects.OVERLAND_BATCH)


@pytest.fixture
def start_ms() -> int:
    """Of their first fixes: some hours ago."""
    return time.time_ns() // 1_000_000 - 6 * 3_600_000


def _sent(way: dialects.Dialect, start_ms: int) -> tuple[str, str, dict[str, str], bytes]:
    """Path, query, headers and body of the second phone's first request."""
    request = replays.Messages(way, _TOKENS, port=8080, start_ms=start_ms).request(1)
    head, _, body = request.partition(b"\r\n\r\n")
    line, *lines = head.decode().split("\r\n")
    path, _, query = line.split(" ")[1].partition("?")
    return path, query, dict(one.lower().split(": ", 1) for one in lines), body


@pytest.mark.parametrize("way", _WAYS, ids=lambda way: way.name)
def test_the_decoder_of_its_app_understands_it(way: dialects.Dialect, start_ms: int) -> None:
    """Each fix is the one that we send in our own way, whatever its units are there."""
    path, query, headers, body = _sent(way, start_ms)
    ours = orjson.loads(_sent(dialects.NATIVE_BATCH, start_ms)[3])
    (app,) = (one for one in apps.APPS if one.path == path)
    kind = headers.get("content-type", "").partition(";")[0]

    sent = app.decode(message.Request(query, kind, body, 0.0))

    assert len(body) == int(headers.get("content-length", "0"))
    credential = sent.token or headers["authorization"].split(" ")[1]
    assert credential in (_TOKENS[1], way.credential(_TOKENS[1]).lower())
    assert len(fixes.decode(sent.items, test_ping.terms()).pings) == way.pings
    for item, own in zip(map(test_protocols.values, sent.items), ours, strict=False):
        # They tell them as precisely as their app does.
        assert item["latitude"] == own["latitude"]
        assert item["longitude"] == own["longitude"]
        assert item["speed"] == pytest.approx(own["speed"], abs=0.15)
        assert item["course"] == pytest.approx(own["course"], abs=0.6)
        assert item["battery"] == pytest.approx(own["battery"])


@pytest.mark.parametrize("way", _WAYS, ids=lambda way: way.name)
def test_no_ping_comes_twice(way: dialects.Dialect, start_ms: int) -> None:
    """Each phone in turn, each with its next fixes, and what was kept as often as it is asked for."""
    messages = replays.Messages(way, _TOKENS, port=8080, start_ms=start_ms)

    assert len({messages.request(number) for number in range(20)}) == 20
    assert messages.request(3) == messages.request(3)


def test_all_is_sent_again_from_the_first_to_the_last(start_ms: int) -> None:
    """By each phone at its own pace."""
    kept = replays.Replays([dialects.GPSLOGGER], _TOKENS, port=8080, pings=3, start_ms=start_ms)
    resends = replays.Resends(kept)

    mine = [resends.request(0) for _ in range(6)]

    assert mine == [kept.request(0, part) for part in (0, 1, 2, 0, 1, 2)]
    assert resends.request(1) == kept.request(1, 0)


def test_every_ping_is_stored_in_each_protocol() -> None:
    """Of every lap, in bodies of 200 too."""
    code, values, words = benches.run(
        "protocols", "--rounds", "1", "--seconds", "0.2", "--warmup", "0.1", "--sockets", "8"
    )

    assert code == 0, words
    assert values["valid"]
    assert values["errors"] == 0
    assert all(values[f"{way.name}_to_native"] > 0 for way in _WAYS)


def test_what_phones_replay_is_stored_once() -> None:
    """Whatever protocol each of them speaks."""
    code, values, words = benches.run("replay-storm", "--devices", "60", "--backlog", "10")

    assert code == 0, words
    assert values["valid"]
    assert values["rows"] == 60 * 10


def test_what_was_stored_is_not_stored_again() -> None:
    """All that was sent twice is there once, beside what is new."""
    code, values, words = benches.run(
        *("resend", "--devices", "20", "--resenders", "10", "--points", "5"),
        *("--rate", "50", "--pings", "20", "--seconds", "1", "--warmup", "1"),
    )

    assert code == 0, words
    assert values["resent"] == 100
    assert values["rows"] == 10 * 5 + values["acknowledged"] == 50 + 40
