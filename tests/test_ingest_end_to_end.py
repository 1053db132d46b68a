"""A phone's request becomes committed rows, and the answer says what became of each ping."""

from __future__ import annotations

import datetime

from geoingest.access import provision
from tests import conftest


def _ping(**changes: object) -> dict[str, object]:
    now = datetime.datetime.now(datetime.UTC).isoformat()
    return {"timestamp": now, "latitude": 52.5, "longitude": 13.4, **changes}


async def test_a_ping_is_stored_before_the_answer(
    running: conftest.Running, database: conftest.Database, school: list[provision.Enrolled]
) -> None:
    """200 with stored 1 means that the row is there."""
    await running.service.credentials.refresh()
    student = school[0]
    headers = {"Authorization": f"Bearer {student.device_token}"}

    async with running.client.post("/v1/pings", json=_ping(), headers=headers) as answer:
        body = await answer.json()

    assert (answer.status, body) == (
        200,
        {"received": 1, "stored": 1, "duplicate": 0, "rejected": []},
    )
    assert database.query("SELECT student_id, device_id, latitude FROM geolocation_data") == [
        (student.student_id, student.device_id, 52.5)
    ]
