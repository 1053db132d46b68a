"""An administrator who puts schools, classes and people into the directory, and what is in it then."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from geoingest.access import tokens
from tests import conftest, guardians

Lines: TypeAlias = Sequence[Mapping[str, object]]
NDJSON, CSV = "application/x-ndjson", "text/csv"
# Two schools, three classes, four students, three guardians, and who works there.
SCHOOLS: Lines = (
    {
        "external_id": "north",
        "time_zone": "Europe/Berlin",
        "opens_at": "08:00",
        "closes_at": "13:00",
    },
    {
        "external_id": "south",
        "time_zone": "UTC",
        "weekdays": [1, 2, 6],
        "holidays": ["2026-12-24", "2026-12-25"],
    },
)
CLASSES: Lines = (
    {"external_id": "1a", "school": "north"},
    {"external_id": "1b", "school": "north"},
    {"external_id": "2a", "school": "south"},
)
STUDENTS: Lines = (
    {"external_id": "ann", "class": "1a"},
    {"external_id": "ben", "school": "north", "class": "1b"},
    {"external_id": "cleo", "school": "south"},
    {"external_id": "dan"},
)
GUARDIANS: Lines = (
    {"external_id": "g1", "email": "G1@Example.org", "student": "ann"},
    {"external_id": "g1", "email": "G1@Example.org", "student": "ben", "school_hours_only": True},
    {
        "external_id": "g2",
        "student": "ann",
        "valid_from": "2026-01-01T00:00:00Z",
        "valid_until": "2999-01-01T00:00:00+02:00",
        "consent_until": "2998-01-01T00:00:00Z",
    },
    {"external_id": "g3"},
)
STAFF: Lines = (
    {"external_id": "t1", "role": "staff", "class": "1a"},
    {"external_id": "t1", "role": "staff", "school": "south"},
    {"external_id": "t2", "role": "staff", "sees_all": True, "email": "t2@example.org"},
    {"external_id": "t3", "role": "admin"},
)
ALL: Mapping[str, Lines] = {
    "schools": SCHOOLS,
    "classes": CLASSES,
    "students": STUDENTS,
    "guardians": GUARDIANS,
    "staff": STAFF,
}


class Admin:
    """Puts bodies, and gets reports."""

    def __init__(self, running: conftest.Running, token: str) -> None:
        self._running = running
        self._headers = {"Authorization": f"Bearer {token}"}

    async def put(self, kind: str, lines: Lines) -> guardians.Answer:
        """As NDJSON."""
        return await self.send(kind, ndjson(lines))

    async def compressed(self, kind: str, body: bytes) -> guardians.Answer:
        """NDJSON that is packed already."""
        return await self.send(kind, body, **{"Content-Encoding": "gzip"})

    async def send(
        self, kind: str, body: Any, content_type: str = NDJSON, **more: str
    ) -> guardians.Answer:
        """Whatever bytes, or pieces of them."""
        headers = {**self._headers, "Content-Type": content_type, **more}
        path = f"/v1/admin/{kind}"
        # Sent piece by piece, with its length.
        body = io.BytesIO(body) if isinstance(body, bytes) else body
        async with self._running.client.put(path, headers=headers, data=body) as answer:
            return guardians.Answer(answer.status, answer.headers, await answer.read())

    async def fill(self) -> None:
        """All of the above."""
        for kind, lines in ALL.items():
            answer = await self.put(kind, lines)
            assert answer.status == 200, answer.raw


def admin(database: conftest.Database, running: conftest.Running) -> Admin:
    """One with a token."""
    return Admin(running, viewer(database, "admin"))


def viewer(database: conftest.Database, role: str, external_id: str | None = None) -> str:
    """The token of a new viewer, or of one that is there."""
    token = tokens.create("viewer")
    database.query(
        "INSERT INTO viewers (token_digest, role, external_id) VALUES ($1, $2, $3)"
        " ON CONFLICT (external_id) DO UPDATE SET token_digest = excluded.token_digest",
        tokens.digest(token),
        role,
        external_id,
    )
    return token


def ndjson(lines: Lines) -> bytes:
    """One object a line."""
    return b"".join(json.dumps(one).encode() + b"\n" for one in lines)


def table(lines: Lines) -> bytes:
    """The same as CSV: what a line leaves out is an empty cell."""
    names = sorted({name for one in lines for name in one})
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(names)
    writer.writerows([_cell(one.get(name)) for name in names] for one in lines)
    return text.getvalue().encode()


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return " ".join(map(str, value))
    return value


def held(database: conftest.Database) -> dict[str, list[tuple[object, ...]]]:
    """Everything that the directory says, by the platform's ids."""
    return {name: database.query(query) for name, query in _HELD.items()}


_HELD = {
    "schools": "SELECT external_id, time_zone, opens_at::text, closes_at::text, weekdays,"
    " (SELECT array_agg(day::text ORDER BY day) FROM school_holidays AS holiday"
    " WHERE holiday.school_id = school.school_id) FROM schools AS school ORDER BY 1",
    "classes": "SELECT class.external_id, school.external_id FROM classes AS class"
    " JOIN schools AS school USING (school_id) ORDER BY 1",
    "students": "SELECT student.external_id, school.external_id, class.external_id"
    " FROM students AS student LEFT JOIN schools AS school USING (school_id)"
    " LEFT JOIN classes AS class USING (class_id) ORDER BY 1",
    "viewers": "SELECT external_id, role, email, sees_all, revoked_at IS NOT NULL FROM viewers"
    " WHERE external_id IS NOT NULL ORDER BY 1",
    "guardianships": "SELECT viewer.external_id, student.external_id, valid_from::text,"
    " valid_until::text, consent_until::text, school_hours_only FROM guardianships"
    " JOIN viewers AS viewer USING (viewer_id) JOIN students AS student USING (student_id)"
    " ORDER BY 1, 2",
    "scopes": "SELECT viewer.external_id, school.external_id, class.external_id FROM staff_scopes"
    " AS scope JOIN viewers AS viewer USING (viewer_id) JOIN schools AS school"
    " ON scope.school_id = school.school_id LEFT JOIN classes AS class"
    " ON scope.class_id = class.class_id ORDER BY 1, 2, 3",
}
