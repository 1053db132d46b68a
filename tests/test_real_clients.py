"""The apps that people have live through 503s, cuts and a kill -9: nothing is lost, nothing doubled."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import datetime
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from typing_extensions import override

from geoingest.access import provision
from geoingest.local import clients, traces
from tests import conftest, gate, handsets, processes
from tests.oracle import stored, told

# Of each phone, before the kill, after it, and after the restart.
_REQUESTS = 30
_LIFE_SECONDS = 20.0
_STALLS = 2
# Answers that some apps drop a fix on, whatever a service does: None is no answer at all.
_DROPS_BY_DESIGN: dict[str, set[int | None]] = {
    clients.TRACCAR_IOS.name: {503},
    clients.GPSLOGGER.name: {503, None},
}


class _Findings(NamedTuple):
    """Ways to break the promise, by the name of the app; all empty is what the test wants."""

    lost: dict[str, AbstractSet[told.Key]]
    doubled: dict[str, AbstractSet[told.Key]]
    unsent: dict[str, AbstractSet[told.Key]]
    # The answers that made an app drop a fix which by its rules need not be dropped.
    provoked: dict[str, AbstractSet[int | None]]

    @override
    def __str__(self) -> str:
        return str([{name: len(one) for name, one in found.items()} for found in self])


def _find(phones: Sequence[handsets.Handset], rows: collections.Counter[told.Key]) -> _Findings:
    """What the phones recorded, held against the table."""
    findings = _Findings({}, {}, {}, {})
    for phone in phones:
        mine = {key for key in rows if key[0] == phone.student.student_id}
        dropped = {phone.key(one.fix) for one in phone.outbox.dropped}
        answers = {one.answer and one.answer.status for one in phone.outbox.dropped}
        for found, where in (
            (set(phone.keys) - mine - dropped, findings.lost),
            ({key for key in mine if rows[key] > 1}, findings.doubled),
            (mine - set(phone.keys), findings.unsent),
        ):
            if found:
                where[phone.client.name] = found
        if provoked := answers - _DROPS_BY_DESIGN.get(phone.client.name, set()):
            findings.provoked[phone.client.name] = provoked
    return findings


async def _busy(phones: Sequence[handsets.Handset]) -> None:
    """Returns once each of them has had so many more answers."""
    enough = {phone: phone.network.counts.total() + _REQUESTS for phone in phones}
    await conftest.until(
        lambda: all(phone.network.counts.total() >= count for phone, count in enough.items()),
        seconds=_LIFE_SECONDS,
    )


async def _lived(
    database: conftest.Database,
    school: Sequence[provision.Enrolled],
    phones: list[handsets.Handset],
    *,
    stops: Sequence[Callable[[processes.Service], None]],
    module: str = "geoingest",
) -> list[bool]:
    """A bad network and a restart after each stop, then a good network: who got rid of everything."""
    async with contextlib.AsyncExitStack() as stack:
        service = await stack.enter_async_context(processes.serving(database, module=module))
        phones += await stack.enter_async_context(handsets.of(service.url, school))
        for phone in phones:
            phone.network.is_bad = True
        async with contextlib.AsyncExitStack() as lives:
            for phone in phones:
                await lives.enter_async_context(phone.living())
            for stop in stops:
                await _busy(phones)
                stop(service)
                await service.ended()
                service = await stack.enter_async_context(
                    processes.serving(database, module=module)
                )
                for phone in phones:
                    phone.network.target = service.url
            await _busy(phones)
        for phone in phones:
            phone.network.is_bad = False
        return await asyncio.gather(*(phone.settle() for phone in phones))


async def test_whatever_an_app_queued_is_stored_once(
    database: conftest.Database, school: list[provision.Enrolled]
) -> None:
    """Every app's queue ends empty; what one dropped it drops by design, and never on a 4xx of ours."""
    phones: list[handsets.Handset] = []

    settled = await _lived(
        database, school, phones, stops=(processes.Service.kill, processes.Service.terminate)
    )

    findings = _find(phones, stored.rows(database))
    assert not any(findings), str(findings)
    assert all(settled)
    for phone in phones:
        assert all(phone.network.counts[fault] for fault in gate.FAULTS), phone.client.name
        assert phone.sums.acked > _REQUESTS // 2
        if phone.client.name == clients.TRACCAR_IOS.name:
            assert len(phone.outbox.dropped) == phone.network.counts["refused"]


async def test_a_slow_uplink_costs_no_fix(
    database: conftest.Database, school: list[provision.Enrolled]
) -> None:
    """A body that does not arrive in time is no reason for a 4xx: some would throw it away."""
    apps = [app for app in handsets.APPS if app is not clients.GPSLOGGER]
    settings = {"GEOINGEST_BODY_TIMEOUT_SECONDS": "0.5"}
    second = datetime.timedelta(seconds=1)
    start = datetime.datetime.now(datetime.UTC).replace(microsecond=0) - 60 * second
    async with (
        processes.serving(database, **settings) as service,
        handsets.of(service.url, school, apps=apps) as phones,
    ):
        for phone in phones:
            phone.network.stalls = _STALLS
            phone.record([traces.Fix(start + number * second, 52.5, 13.25) for number in range(4)])
        settled = await asyncio.gather(*(phone.settle() for phone in phones))

    findings = _find(phones, stored.rows(database))
    assert not any(findings), str(findings)
    assert all(settled)
    assert {phone.network.counts["stalled"] for phone in phones} == {0, _STALLS}


async def test_the_check_finds_a_service_that_answers_before_the_commit(
    database: conftest.Database, school: list[provision.Enrolled]
) -> None:
    """A build that answers first and commits later loses what apps have forgotten."""
    phones: list[handsets.Handset] = []

    await _lived(
        database,
        school,
        phones,
        stops=(processes.Service.kill,),
        module="tests.broken.early_answers",
    )

    assert _find(phones, stored.rows(database)).lost
