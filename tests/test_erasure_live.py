"""A student is erased while services run, and a phone and a bus unit go on posting."""

from __future__ import annotations

import asyncio
import datetime
import pathlib
import time
from typing import NamedTuple

from geoingest import db
from geoingest.access import provision
from geoingest.lifecycle import erasure, traces
from tests import cohorts, conftest, guardians

_PAUSE_SECONDS = 0.05


class Post(NamedTuple):
    """What came of one: when, the status, and how many were stored."""

    at: float
    status: int
    stored: int


async def _posting(
    running: conftest.Running, token: str, student_id: int | None, posts: list[Post]
) -> None:
    """Posts a new fix each time, until it is cancelled."""
    while True:
        ping: dict[str, object] = {
            "timestamp": datetime.datetime.now(datetime.UTC).isoformat(),
            "latitude": 52.5,
            "longitude": 13.4,
        }
        if student_id is not None:
            ping["student_id"] = student_id
        headers = {"Authorization": f"Bearer {token}"}
        async with running.client.post("/v1/pings", json=ping, headers=headers) as answer:
            body = await answer.json()
            posts.append(Post(time.monotonic(), answer.status, body.get("stored", 0)))
        await asyncio.sleep(_PAUSE_SECONDS)


async def test_nothing_comes_back_from_a_running_service(
    database: conftest.Database,
    start: conftest.Start,
    tmp_path: pathlib.Path,
) -> None:
    """The phone hears 401 and the bus unit unknown_student within 5 s; a minute later nothing is held."""
    cohort = cohorts.make(database, tmp_path, count=3)
    victim, other = cohort.students[:2]
    before = cohorts.others(cohort, victim)
    with db.direct(database.url) as connection:
        _, bus = provision.add_device(connection, None)
    running = await start(database.settings(database_replica_url=""))
    by_phone: list[Post] = []
    by_bus: list[Post] = []
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(_posting(running, victim.device_token, None, by_phone)),
            group.create_task(_posting(running, bus, victim.student_id, by_bus)),
        ]
        await conftest.until(lambda: any(one.stored for one in by_phone))
        await conftest.until(lambda: any(one.stored for one in by_bus))

        began = time.monotonic()
        erased = await asyncio.to_thread(_erase, cohort, victim.student_id)
        ended = time.monotonic()

        asked = await guardians.Guardian(running, victim.viewer_token).ask(
            f"/v1/students/{victim.student_id}/location"
        )
        others = await guardians.Guardian(running, other.viewer_token).ask(
            f"/v1/students/{other.student_id}/location"
        )
        for task in tasks:
            task.cancel()

    late = [one for one in (*by_phone, *by_bus) if one.at > began + 5]
    assert erased.pings > 6
    assert 55 < ended - began < 90
    assert {one.status for one in by_phone if one.at > began + 5} == {401}
    assert {one.status for one in by_bus} == {200}
    assert sum(one.stored for one in late) == 0
    assert len(late) > 100
    # Some came after the erasure had begun: it found them, too.
    assert any(one.stored for one in (*by_phone, *by_bus) if one.at > began)
    held = cohorts.held(cohort, victim)
    assert held.keys() <= {"rejected_pings"}
    assert asked.status == 401
    assert others.status == 200
    after = cohorts.others(cohort, victim)
    for table in ("geolocation_data", "geolocation_hourly", "guardianships", "viewers", "archive"):
        assert after[table] == before[table]


def _erase(cohort: cohorts.Cohort, student_id: int) -> traces.Erased:
    with db.direct(cohort.database.url) as connection:
        return erasure.erase(connection, cohort.settings, student_id, tell=lambda words: None)
