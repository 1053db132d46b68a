"""Everybody who may come to the door of a school, and one child whom few of them may see."""

from __future__ import annotations

import datetime
from typing import NamedTuple

from geoingest.access import tokens
from tests import conftest

# Digits that no clock, size or process id has.
LATITUDE, LONGITUDE = 41.7392581, -71.6482935
CANARIES = ("41.739", "71.648")
CHILD, OTHER, UNKNOWN = 7301902846, 7301902847, 7301902848
_HOUR = datetime.timedelta(hours=1)


class Cast(NamedTuple):
    """Tokens by who has them: of those who see the child, of those who do not, and of nobody's."""

    seeing: dict[str, str]
    foreign: dict[str, str]
    nobody: dict[str, str]


class _Casting:
    """Makes whoever is asked for, each with a token."""

    def __init__(self, database: conftest.Database) -> None:
        self._database = database
        self._numbers = iter(range(1, 1000))

    def viewer(self, **columns: object) -> tuple[int, str]:
        viewer_id, token = next(self._numbers), tokens.create("viewer")
        values = {"viewer_id": viewer_id, "token_digest": tokens.digest(token), **columns}
        self._insert("viewers", values)
        return viewer_id, token

    def guardian(self, student_id: int, **terms: object) -> tuple[int, str]:
        viewer_id, token = self.viewer()
        self._insert("guardianships", {"viewer_id": viewer_id, "student_id": student_id, **terms})
        return viewer_id, token

    def staff(self, school_id: int, class_id: int | None = None) -> str:
        viewer_id, token = self.viewer(role="staff")
        self._insert(
            "staff_scopes",
            {"viewer_id": viewer_id, "school_id": school_id, "class_id": class_id},
        )
        return token

    def session(self, viewer_id: int, **columns: object) -> str:
        token = tokens.create("viewer").replace("gi_view_", "gi_ses_")
        values: dict[str, object] = {
            "viewer_id": viewer_id,
            "token_digest": tokens.digest(token),
            "idle_seconds": 3600,
            "ends_at": _now() + _HOUR,
        }
        self._insert("sessions", {**values, **columns})
        return token

    def share(self, viewer_id: int, student_id: int, **columns: object) -> str:
        token = tokens.create("viewer").replace("gi_view_", "gi_share_")
        values: dict[str, object] = {
            "viewer_id": viewer_id,
            "student_id": student_id,
            "token_digest": tokens.digest(token),
            "ends_at": _now() + _HOUR,
        }
        self._insert("shares", {**values, **columns})
        return token

    def device(self, student_id: int) -> str:
        token = tokens.create("device")
        self._insert("devices", {"student_id": student_id, "token_digest": tokens.digest(token)})
        return token

    def _insert(self, table: str, values: dict[str, object]) -> None:
        names = ", ".join(values)
        numbers = ", ".join(f"${number}" for number in range(1, len(values) + 1))
        self._database.query(f"INSERT INTO {table} ({names}) VALUES ({numbers})", *values.values())  # noqa: S608  # the tests' own words


def assemble(database: conftest.Database) -> Cast:
    """Two schools, of the first one two classes; the child is in one of them and has a position."""
    for school in (1, 2):
        database.query("INSERT INTO schools (school_id) VALUES ($1)", school)
    for number, school in ((1, 1), (2, 1), (3, 2)):
        database.query("INSERT INTO classes VALUES ($1, $2, $3)", number, school, f"class {number}")
    for student, school, group in ((CHILD, 1, 1), (OTHER, 2, 3)):
        statement = "INSERT INTO students (student_id, school_id, class_id) VALUES ($1, $2, $3)"
        database.query(statement, student, school, group)
        statement = "INSERT INTO geolocation_data (student_id, device_id, latitude, longitude,"
        statement += ' "timestamp", received_at) VALUES ($1, 1, $2, $3, now(), now())'
        places = (LATITUDE, LONGITUDE) if student == CHILD else (1.5, 2.5)
        database.query(statement, student, *places)
    made = _Casting(database)
    ago = _now() - _HOUR
    guardian_id, guardian = made.guardian(CHILD)
    ended_id, ended = made.guardian(CHILD, valid_until=ago)
    other_id, other = made.guardian(OTHER)
    revoked_id, revoked = made.guardian(CHILD)
    database.query("UPDATE viewers SET revoked_at = now() WHERE viewer_id = $1", revoked_id)
    return Cast(
        seeing={
            "guardian": guardian,
            "guardian's session": made.session(guardian_id),
            "staff of the school": made.staff(1),
            "staff of the class": made.staff(1, 1),
            "who sees all": made.viewer(role="staff", sees_all=True)[1],
            "share": made.share(guardian_id, CHILD),
        },
        foreign={
            "guardian of another": other,
            "guardian no more": ended,
            "guardian not yet": made.guardian(CHILD, valid_from=_now() + _HOUR)[1],
            "guardian without consent": made.guardian(CHILD, consent_until=ago)[1],
            "guardian in hours of no school": made.guardian(CHILD, school_hours_only=True)[1],
            "session of another's guardian": made.session(other_id),
            "staff of another school": made.staff(2),
            "staff of another class": made.staff(1, 2),
            "nobody's viewer": made.viewer()[1],
            "share of another": made.share(other_id, OTHER),
            "share of a guardian no more": made.share(ended_id, CHILD),
        },
        nobody={
            "no token": "",
            "made up": "gi_view_unknown",
            "device of the child": made.device(CHILD),
            "revoked viewer": revoked,
            "session of a revoked viewer": made.session(revoked_id),
            "share of a revoked viewer": made.share(revoked_id, CHILD),
            "session that was idle": made.session(guardian_id, used_at=ago, idle_seconds=60),
            "session that ended": made.session(guardian_id, ends_at=ago),
            "share that ended": made.share(guardian_id, CHILD, ends_at=ago),
            "share that was revoked": made.share(guardian_id, CHILD, revoked_at=ago),
        },
    )


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
