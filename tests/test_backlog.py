"""Three days of backlog, oldest first: the newest position never goes back, and is the newest soon."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime
from collections.abc import AsyncIterator

import aiohttp
import pytest

from geoingest import db
from geoingest.access import provision
from geoingest.local import clients, phones, tally, traces
from tests import conftest, handsets, processes
from tests.oracle import stored

_DAYS = 3
_VISIBLE_SECONDS = 2.0
# What makes the backlog take longer than a fresh fix may.
_LATENCY_SECONDS = 0.15
_POLL_SECONDS = 0.02
_FRESH = 3
_PAUSE_SECONDS = 0.3


class _Guardian:
    """Asks where the student is, again and again."""

    def __init__(self, url: str, student: provision.Enrolled) -> None:
        self._url = f"{url}/v1/students/{student.student_id}/location"
        self._headers = {"Authorization": f"Bearer {student.viewer_token}"}
        self.seen: list[datetime.datetime] = []

    @contextlib.asynccontextmanager
    async def asking(self) -> AsyncIterator[None]:
        """For as long as the block lasts."""
        task = asyncio.create_task(self._ask())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def sees(self, fix: traces.Fix, *, within_seconds: float) -> None:
        """Returns once an answer is as new as this fix; TimeoutError when none is in time."""
        await conftest.until(
            lambda: bool(self.seen) and self.seen[-1] >= fix.timestamp,
            seconds=within_seconds,
        )

    async def _ask(self) -> None:
        async with aiohttp.ClientSession() as session:
            while True:
                async with session.get(self._url, headers=self._headers) as got:
                    answer = await got.json()
                    assert got.status == 200 or answer["reason"] == "no_position"
                if got.status == 200:
                    self.seen.append(datetime.datetime.fromisoformat(answer["timestamp"]))
                await asyncio.sleep(_POLL_SECONDS)


def _backlog(step: datetime.timedelta) -> list[traces.Fix]:
    """Three days up to a minute ago."""
    count = datetime.timedelta(days=_DAYS) // step
    end = _fresh(0).timestamp - datetime.timedelta(minutes=1)
    return [
        traces.Fix(end - number * step, 52.5, 13.25 + number / 1e6)
        for number in reversed(range(count))
    ]


def _fresh(number: int) -> traces.Fix:
    """Of this very second."""
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    return traces.Fix(now, 52.5, 13.0 + number / 1e3)


def _never_goes_back(guardian: _Guardian) -> bool:
    return guardian.seen == sorted(guardian.seen)


@contextlib.asynccontextmanager
async def _drains(
    service: processes.Service,
    student: provision.Enrolled,
    client: clients.Client,
    step: datetime.timedelta,
) -> AsyncIterator[tuple[handsets.Handset, _Guardian]]:
    """A phone drains three days while the block lasts, and to their end; a guardian asks all the time."""
    async with handsets.of(service.url, [student], apps=[client]) as (phone,):
        guardian = _Guardian(service.url, student)
        phone.network.latency_seconds = _LATENCY_SECONDS
        if client.most_fixes == 1:
            phone.network.latency_seconds /= 10
        phone.record(_backlog(step))
        async with asyncio.TaskGroup() as group, guardian.asking():
            settling = group.create_task(phone.settle())
            yield phone, guardian
            assert await settling


async def test_overland_shows_where_the_student_is_while_its_backlog_drains(
    database: conftest.Database, school: list[provision.Enrolled]
) -> None:
    """Each fresh fix is visible within 2 s by `current`, with more than a request of older ones left."""
    step = datetime.timedelta(minutes=1)
    async with (
        processes.serving(database) as service,
        _drains(service, school[0], clients.OVERLAND, step) as (phone, guardian),
    ):
        for number in range(_FRESH):
            fix = _fresh(number)
            phone.record([fix])
            await guardian.sees(fix, within_seconds=_VISIBLE_SECONDS)
            assert len(phone.outbox) > clients.OVERLAND.most_fixes
            await asyncio.sleep(_PAUSE_SECONDS)

    assert _never_goes_back(guardian)
    assert stored.rows(database) == dict.fromkeys(phone.keys, 1)


async def test_without_current_it_would_not(
    database: conftest.Database, school: list[provision.Enrolled]
) -> None:
    """The same check finds an app that sends its newest last."""
    client = dataclasses.replace(clients.OVERLAND, sends_current=False)
    async with (
        processes.serving(database) as service,
        _drains(service, school[0], client, datetime.timedelta(minutes=1)) as (phone, guardian),
    ):
        phone.record([_fresh(0)])
        with pytest.raises(TimeoutError):
            await guardian.sees(phone.fixes[-1], within_seconds=_VISIBLE_SECONDS)

    assert _never_goes_back(guardian)


async def test_one_by_one_a_backlog_hides_no_other_device(
    database: conftest.Database, school: list[provision.Enrolled]
) -> None:
    """A watch's ping is visible within 2 s while the phone's days drain, and nothing older after it."""
    student = school[0]
    with db.direct(database.url) as connection:
        _, token = provision.add_device(connection, student.student_id)
    step = datetime.timedelta(minutes=15)
    async with (
        processes.serving(database, GEOINGEST_DEVICE_REQUESTS_PER_SECOND="50") as service,
        _drains(service, student, clients.TRACCAR_ANDROID, step) as (phone, guardian),
        aiohttp.ClientSession() as session,
    ):
        await guardian.sees(phone.fixes[20], within_seconds=_VISIBLE_SECONDS)
        sums = tally.Tally(clients.NATIVE.counts)
        watch = phones.Phone(session, service.url, token, sums, client=clients.NATIVE)
        fix = _fresh(0)
        watch.record([fix])
        await watch.drain()
        await guardian.sees(fix, within_seconds=_VISIBLE_SECONDS)
        assert len(phone.outbox) > len(phone.fixes) // 2

    assert _never_goes_back(guardian)
    assert len(set(guardian.seen)) > 10
    assert guardian.seen[-1] == fix.timestamp
    assert len(stored.rows(database)) == len(phone.fixes) + 1
    assert not phone.sums.refusals
