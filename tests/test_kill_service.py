"""kill -9 of the service under load: what was answered is in the table, once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from geoingest.access import provision
from tests import conftest, processes, senders
from tests.oracle import judge, stored, told

ROUNDS = 5
# Answers after which a round's kill comes: each at another moment of the load.
_ANSWERS = (150, 400, 250, 500, 300)


async def _killed_under_load(
    service: processes.Service, phones: Sequence[senders.Sender], log: told.Log, answers: int
) -> None:
    stop = asyncio.Event()
    before = log.count(200)
    async with asyncio.TaskGroup() as group:
        for phone in phones:
            group.create_task(phone.run(service.url, stop))
        await conftest.until(lambda: log.count(200) >= before + answers, seconds=30)
        service.kill()
        stop.set()


async def test_kill_9_loses_nothing_that_was_answered(
    database: conftest.Database, school: list[provision.Enrolled]
) -> None:
    """Every ping answered stored or duplicate before a kill -9 is in the table exactly once."""
    log = told.Log()
    phones = [
        senders.Sender(student, log, invalid_every=senders.INVALID_EVERY) for student in school
    ]
    in_doubt = 0

    for answers in _ANSWERS:
        async with processes.serving(database) as service:
            await _killed_under_load(service, phones, log, answers)
        in_doubt += len(log.unknown)

    judge.check(log, database)
    assert len(log.ok) > sum(_ANSWERS)
    assert in_doubt >= ROUNDS


async def test_the_check_finds_a_service_that_answers_before_the_commit(
    database: conftest.Database, school: list[provision.Enrolled]
) -> None:
    """A build that answers first and commits later does not pass the same check."""
    log = told.Log()
    phones = [senders.Sender(student, log) for student in school]

    async with processes.serving(database, module="tests.broken.early_answers") as service:
        await _killed_under_load(service, phones, log, _ANSWERS[0])

    assert judge.find(log, stored.read(database)).lost
