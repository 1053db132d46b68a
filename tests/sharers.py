"""Guardians who share, and whom they share with, over HTTP."""

from __future__ import annotations

from typing import Any

from geoingest.access import provision
from tests import conftest, guardians


async def send(
    running: conftest.Running, token: str, method: str, path: str, **request: Any
) -> guardians.Answer:
    """Any request of who has this token."""
    headers = {"Authorization": f"Bearer {token}"}
    async with running.client.request(method, path, headers=headers, **request) as answer:
        return guardians.Answer(answer.status, answer.headers, await answer.read())


async def make(
    running: conftest.Running, token: str, student_id: int, **body: Any
) -> guardians.Answer:
    """Asks for a share of a student."""
    return await send(running, token, "POST", f"/v1/students/{student_id}/shares", json=body)


async def made(running: conftest.Running, child: provision.Enrolled, **body: Any) -> Any:
    """A share of the child, by its guardian."""
    answer = await make(running, child.viewer_token, child.student_id, **body)
    assert answer.status == 201, answer.raw
    return answer.body


async def status(running: conftest.Running, token: str, student_id: int) -> int:
    """What who has this token is answered where the student is."""
    path = f"/v1/students/{student_id}/location"
    return (await send(running, token, "GET", path)).status


def viewer(database: conftest.Database, student: provision.Enrolled) -> object:
    """The number of a student's guardian."""
    query = "SELECT viewer_id FROM guardianships WHERE student_id = $1"
    return database.query(query, student.student_id)[0][0]
