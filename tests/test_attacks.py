"""Whatever a hostile client sends, to whichever address: it is cut within ten seconds, and the others are answered."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import aiohttp
import pytest

from geoingest.access import provision, tokens
from tests import attacks, conftest, processes

CUT_SECONDS = 10.0
GROWTH_MIB = 20.0
# Others are asked for so often; an answer may take longer on a busy machine, but not for ever.
_PAUSE_SECONDS = 0.03
_LONGEST_SECONDS = 2.0
_ATTACKERS = 2
_ADMIN = "gi_view_admin"


class _Others:
    """A guardian who goes on asking, and how much memory the service has meanwhile."""

    def __init__(self, service: processes.Service, token: str) -> None:
        self._service = service
        self._headers = {"Authorization": f"Bearer {token}"}
        self.statuses: list[int] = []
        self.longest_seconds = 0.0
        self.most_mib = 0.0

    async def ask(self, session: aiohttp.ClientSession) -> None:
        """Once."""
        started = time.monotonic()
        async with session.get("/v1/locations", headers=self._headers) as got:
            await got.read()
        self.statuses.append(got.status)
        self.longest_seconds = max(self.longest_seconds, time.monotonic() - started)
        self.most_mib = max(self.most_mib, self._service.rss_mib())

    @contextlib.asynccontextmanager
    async def asking(self) -> AsyncIterator[None]:
        """For as long as the block lasts."""
        stop = asyncio.Event()

        async def run() -> None:
            while not stop.is_set():
                await self.ask(session)
                await asyncio.sleep(_PAUSE_SECONDS)

        async with aiohttp.ClientSession(self._service.url) as session:
            # What every service has after its first questions is not the attackers' doing.
            for _ in range(20):
                await self.ask(session)
            self.longest_seconds, self.most_mib = 0.0, self._service.rss_mib()
            async with asyncio.TaskGroup() as group:
                group.create_task(run())
                try:
                    yield
                finally:
                    stop.set()


def _targets(database: conftest.Database, child: provision.Enrolled) -> dict[str, attacks.Target]:
    database.query(
        "INSERT INTO viewers (role, token_digest) VALUES ('admin', $1)", tokens.digest(_ADMIN)
    )
    lines = "application/x-ndjson"
    return {
        "a door": attacks.Target("POST", "/v1/pings", child.device_token),
        "an app's door": attacks.Target("POST", "/v1/traccar"),
        "a question": attacks.Target("GET", "/v1/locations", child.viewer_token),
        "login": attacks.Target("POST", "/v1/login"),
        "an import": attacks.Target("PUT", "/v1/admin/students", _ADMIN, lines),
        "an import of nobody": attacks.Target("PUT", "/v1/admin/students", "nobody", lines),
        "nowhere": attacks.Target("GET", "/nowhere"),
    }


KINDS = (
    "a door",
    "an app's door",
    "a question",
    "login",
    "an import",
    "an import of nobody",
    "nowhere",
)


async def _ends(
    service: processes.Service, target: attacks.Target, *of: attacks.Attack
) -> dict[str, list[attacks.End]]:
    """What becomes of two attackers of each kind, all at once."""
    made = [attacks.made(one, target, service.port) for one in of for _ in range(_ATTACKERS)]
    ends = await asyncio.gather(*made)
    return {
        one.__name__: ends[number * _ATTACKERS : (number + 1) * _ATTACKERS]
        for number, one in enumerate(of)
    }


@pytest.mark.parametrize("kind", KINDS)
async def test_whoever_is_slow_is_cut(
    database: conftest.Database, school: list[provision.Enrolled], kind: str
) -> None:
    """Drips and stalls, in line, headers, body or chunks: closed within ten seconds of the first byte."""
    target = _targets(database, school[0])[kind]
    async with processes.serving(database) as service:
        others = _Others(service, school[1].viewer_token)
        async with others.asking():
            ends = await _ends(service, target, *attacks.SLOW)

    for name, each in ends.items():
        assert max(one.seconds for one in each) < CUT_SECONDS, name
        assert (
            not {200} & {status for one in each for status in one.statuses} or kind == "a question"
        )
    assert set(others.statuses) == {200}
    assert others.longest_seconds < _LONGEST_SECONDS


@pytest.mark.parametrize("kind", KINDS)
async def test_whoever_floods_costs_little(
    database: conftest.Database, school: list[provision.Enrolled], kind: str
) -> None:
    """Chunks of a byte, bombs, 100 MB, endless lines: cut, in little memory; malformed framings are a 400, once."""
    target = _targets(database, school[0])[kind]
    async with processes.serving(database) as service:
        for attack in attacks.FAST:
            others = _Others(service, school[1].viewer_token)
            async with others.asking():
                before_mib = others.most_mib
                ends = await _ends(service, target, attack)

            seconds = max(one.seconds for one in ends[attack.__name__])
            grown_mib = others.most_mib - before_mib
            assert (seconds < CUT_SECONDS, grown_mib < GROWTH_MIB) == (True, True), (
                attack.__name__,
                seconds,
                grown_mib,
            )
            assert set(others.statuses) == {200}, attack.__name__
            assert others.longest_seconds < _LONGEST_SECONDS, attack.__name__
        malformed = await _ends(service, target, *attacks.MALFORMED)
        said = service.output()

    assert [[one.statuses for one in each] for each in malformed.values()] == [
        [[400]] * _ATTACKERS
    ] * len(attacks.MALFORMED)
    assert "Traceback" not in said


@pytest.mark.parametrize("kind", ["a door", "a question", "login"])
async def test_requests_without_a_pause_wait_in_little_memory(
    database: conftest.Database, school: list[provision.Enrolled], kind: str
) -> None:
    """Hundreds sent before an answer: they are answered one by one, and no more is read than is dealt with."""
    target = _targets(database, school[0])[kind]
    async with processes.serving(database) as service:
        others = _Others(service, school[1].viewer_token)
        async with others.asking():
            before_mib = others.most_mib
            ends = await asyncio.gather(
                *(
                    attacks.made(attacks.pipelined, target, service.port, patience_seconds=6)
                    for _ in range(_ATTACKERS)
                )
            )

    assert all(len(one.statuses) > 20 for one in ends)
    assert others.most_mib - before_mib < GROWTH_MIB
    assert set(others.statuses) == {200}
    assert others.longest_seconds < _LONGEST_SECONDS


async def test_the_checks_find_a_build_that_is_patient(
    database: conftest.Database, school: list[provision.Enrolled]
) -> None:
    """One that waits for ever for a head, and unpacks what it has refused, is found out."""
    targets = _targets(database, school[0])
    async with processes.serving(database, module="tests.broken.patient") as service:
        slow = await _ends(service, targets["a question"], attacks.dripped_headers)
        others = _Others(service, school[1].viewer_token)
        async with others.asking():
            await _ends(service, targets["a question"], attacks.bomb, attacks.chunk_flood)

    assert max(one.seconds for one in slow["dripped_headers"]) > CUT_SECONDS
    assert others.longest_seconds > 0.5
