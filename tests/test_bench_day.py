"""The school day of the benches: its timetable, its phones that come and go, its picture; and CPU time of a tree."""

from __future__ import annotations

import asyncio
import pathlib
import subprocess
import sys
from collections.abc import Iterator

import pytest

from bench import diary, fleet, picture, stream, timetable, usage

_PHONES, _ON_BUSES = 420, 80
_KINDS = [
    "phones",
    "phones come",
    "phones leave",
    "bus",
    "bus come",
    "location",
    "track",
    "logins",
    "dashboard",
]
_KEPT, _NOW = b"kept", b"now"


@pytest.fixture
def starts() -> list[tuple[float, str]]:
    """A small day's, in order."""
    phases = timetable.day(minutes=4.5, devices=_PHONES + _ON_BUSES)
    plan = timetable.stretches(phases, phones=_PHONES, on_buses=_ON_BUSES)
    return [(at, _KINDS[kind]) for at, kind in timetable.starts(plan, _KINDS)]


def test_nobody_leaves_who_is_not_there(starts: list[tuple[float, str]]) -> None:
    """Who comes was away, and at the day's end all are there."""
    here = 0
    for _, kind in starts:
        here += {"phones come": 1, "phones leave": -1}.get(kind, 0)
        assert 0 <= here <= _PHONES

    assert here == _PHONES
    assert sum(kind == "phones leave" for _, kind in starts) == 2 * _PHONES


def test_who_has_no_network_does_not_post(starts: list[tuple[float, str]]) -> None:
    """No post is due while none is there that could carry it: it would count as slow."""
    here = {"phones": 0, "bus": 0}
    for _, kind in starts:
        name, _, event = kind.partition(" ")
        if name in here:
            here[name] += {"come": 1, "leave": -1}.get(event, 0)
            assert event or here[name] > 0


def test_a_longer_day_is_the_same_day() -> None:
    """Twice the minutes are twice the posts at the same rates; twice the phones are twice the rates."""
    day = timetable.day(minutes=4.5, devices=5000)
    longer = timetable.day(minutes=9, devices=5000)
    larger = timetable.day(minutes=4.5, devices=10_000)

    assert sum(one.seconds for one in day) == 270
    assert [one.seconds for one in longer] == [2 * one.seconds for one in day]
    assert [one.posts for one in longer] == [one.posts for one in day]
    assert [one.posts[1] for one in larger] == [2 * one.posts[1] for one in day]


class _Requests:
    def __init__(self, word: bytes) -> None:
        self._word = word

    def request(self, number: int) -> bytes:
        return b"%s %d\n" % (self._word, number)


class _Server:
    """Answers each line, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.connects = self.open = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connects += 1
        self.open += 1
        while line := await reader.readline():
            self.asked.append(line.decode().strip())
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        writer.close()
        await writer.wait_closed()
        self.open -= 1


async def test_a_phone_that_comes_again_posts_what_it_has_kept_since() -> None:
    """Each visit is a new connection and the next backlog, and only who is there posts."""
    asked = _Server()
    server = await asyncio.start_server(asked.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    posts = stream.Stream("phones", 0, 2, _Requests(_NOW), (b"ok",))
    phones = fleet.Fleet(posts, _Requests(_KEPT), host="127.0.0.1", port=port)
    phones.zero = now = asyncio.get_running_loop().time()

    async with server, asyncio.timeout(10):
        for turn in range(2):
            for _ in range(2):
                phones.come(now)
            while len(phones.samples) < 3 * turn + 2:
                await asyncio.sleep(0)
            phones.send(now)
            while len(phones.samples) < 3 * turn + 3:
                await asyncio.sleep(0)
            for _ in range(2 * (1 - turn)):
                phones.leave(now)
        await phones.finish()
        while asked.open:
            await asyncio.sleep(0)

    outcome = phones.outcome(1)
    assert (outcome.errors, outcome.acknowledged, asked.connects) == (0, 6, 4)
    kept = sorted(line for line in asked.asked if line.startswith(_KEPT.decode()))
    # The number of a phone in its second visit is that of the first and the count of phones.
    assert kept == ["kept 0", "kept 1", "kept 2", "kept 3"]


@pytest.fixture
def values() -> dict[str, object]:
    """A day's result, as far as the picture needs it."""
    moments = [float(at) for at in range(0, 270, 2)]
    series: dict[str, list[float | None]] = {"at": [*moments]}
    for side in ("pings", "reads"):
        series |= {f"{side}_per_s": [100.0 + at for at in moments]}
        # In some seconds nothing may have been answered.
        series |= {f"{side}_{key}": [None, *moments[1:]] for key in ("p50_ms", "p99_ms")}
    phases = timetable.day(minutes=4.5, devices=5000)
    return {
        "series": series,
        "phases": [{"name": one.name, "seconds": one.seconds} for one in phases],
        "import": diary.Import(150.0, 50_000, 6.0, 50_000)._asdict(),
    }


def test_the_picture_is_small_and_always_the_same(
    values: dict[str, object], tmp_path: pathlib.Path
) -> None:
    """So that it can be kept beside the code and changes only with the numbers."""
    first, second = tmp_path / "first.svg", tmp_path / "second.svg"

    picture.draw(values, first)
    picture.draw(values, second)

    assert first.read_bytes() == second.read_bytes()
    assert first.stat().st_size < 200 * 1024
    assert first.read_text().count("<svg") == 1


@pytest.fixture
def parent() -> Iterator[subprocess.Popen[str]]:
    """A process whose only child has worked for a fifth of a second and was waited for."""
    busy = "import time\nwhile time.process_time() < 0.2: pass"
    waits = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {busy!r}]); print()"
    program = [sys.executable, "-c", f"{waits}; input()"]
    with subprocess.Popen(
        program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


@pytest.mark.skipif(not pathlib.Path("/proc/self/stat").exists(), reason="this system has no /proc")
def test_cpu_time_of_children_that_ended_counts(parent: subprocess.Popen[str]) -> None:
    """A server's short-lived processes have worked for it as well."""
    used = usage.cpu_seconds(parent.pid)

    assert used is not None
    assert used >= 0.18


def test_a_process_that_is_not_there_has_no_cpu_time() -> None:
    """It is not zero: nothing was measured."""
    assert usage.cpu_seconds(None) is None
    assert usage.cpu_seconds(2**22 + 1) is None
