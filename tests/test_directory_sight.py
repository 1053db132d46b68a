"""What is put into the directory decides at once who sees whom."""

from __future__ import annotations

import datetime
from typing import NamedTuple

import pytest

from tests import conftest, directories, guardians

PAST = (guardians.NOW - datetime.timedelta(seconds=1)).isoformat()
FUTURE = (guardians.NOW + datetime.timedelta(hours=1)).isoformat()


class Scene(NamedTuple):
    """An administrator, a guardian of ann and ben, a teacher of class 1a, and where ann is."""

    admin: directories.Admin
    guardian: guardians.Guardian
    teacher: guardians.Guardian
    path: str

    async def seen(self) -> tuple[int, int]:
        """What the guardian and the teacher are answered."""
        asked = [await one.ask(self.path) for one in (self.guardian, self.teacher)]
        return asked[0].status, asked[1].status


@pytest.fixture
async def scene(database: conftest.Database, start: conftest.Start) -> Scene:
    """All see ann."""
    running = await start(database.settings(database_replica_url=""))
    admin = directories.admin(database, running)
    await admin.fill()
    ((student_id,),) = database.query("SELECT student_id FROM students WHERE external_id = 'ann'")
    guardians.store(database, int(str(student_id)), guardians.ago(minutes=1))
    guardian, teacher = (
        guardians.Guardian(running, directories.viewer(database, "guardian", external_id))
        for external_id in ("g1", "t1")
    )
    made = Scene(admin, guardian, teacher, f"/v1/students/{student_id}/location")
    assert await made.seen() == (200, 200)
    return made


@pytest.mark.parametrize(
    "terms",
    [
        {"consent_until": PAST},
        {"valid_until": PAST},
        {"valid_from": FUTURE},
        {"student": "ben"},
        {"student": None},
        {"revoked": True},
    ],
    ids=["no consent", "ended", "not yet", "another's", "nobody's", "revoked"],
)
async def test_a_guardian_sees_by_its_terms(scene: Scene, terms: dict[str, object]) -> None:
    """Withdrawn consent, an end that is past, a beginning to come, no line for her any more: 404; others still see her."""
    line: dict[str, object] = {"external_id": "g1", "student": "ann"}

    hidden = await scene.admin.put("guardians", [{**line, **terms}])
    then = await scene.seen()
    shown = await scene.admin.put("guardians", [{**line, "consent_until": FUTURE}])

    assert (hidden.body["changed"], shown.body["changed"]) == (1, 1)
    gone = 401 if "revoked" in terms else 404
    assert then == (gone, 200)
    assert await scene.seen() == (401 if "revoked" in terms else 200, 200)


async def test_a_guardian_sees_by_the_hours_of_the_school(scene: Scene) -> None:
    """Limited to them: not in a school without any, on a holiday, or at another hour; in a school that is open, yes."""
    line = {"external_id": "g1", "student": "ann", "school_hours_only": True}
    school: dict[str, object] = {
        "external_id": "north",
        "time_zone": "UTC",
        "weekdays": [1, 2, 3, 4, 5, 6, 7],
    }
    now = datetime.datetime.now(datetime.UTC)
    # Some days, so that midnight is no other one.
    holidays = [f"{now + datetime.timedelta(days=days):%Y-%m-%d}" for days in (-1, 0, 1)]
    open_now = {**school, "opens_at": "00:00", "closes_at": "23:59:59"}
    await scene.admin.put("guardians", [line])
    found = []
    for one in (school, open_now, {**open_now, "holidays": holidays}, {**open_now, "weekdays": []}):
        await scene.admin.put("schools", [one])
        found.append(await scene.seen())

    assert found == [(404, 200), (200, 200), (404, 200), (404, 200)]


async def test_a_teacher_sees_by_class_and_school(scene: Scene) -> None:
    """A student who moves to another class is hidden, and shown in a school of hers; so is a class that moves."""
    found = []
    for kind, line in (
        ("students", {"external_id": "ann", "class": "1b"}),
        ("students", {"external_id": "ann", "class": "2a"}),
        ("students", {"external_id": "ann"}),
        ("students", {"external_id": "ann", "class": "1b"}),
        ("classes", {"external_id": "1b", "school": "south"}),
        ("staff", {"external_id": "t1", "role": "staff", "class": "1a"}),
        ("staff", {"external_id": "t1", "role": "staff", "sees_all": True}),
        ("staff", {"external_id": "t1", "role": "admin"}),
    ):
        assert (await scene.admin.put(kind, [line])).body["changed"] == 1
        found.append((await scene.seen())[1])

    assert found == [404, 200, 404, 404, 200, 404, 200, 404]
    assert (await scene.seen())[0] == 200
