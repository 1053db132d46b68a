"""Schools, whose time zone says when their students' days begin, and who goes to which."""

from __future__ import annotations

from collections.abc import Sequence

from geoingest import db, errors


class UnknownTimeZoneError(errors.GeoingestError):
    """The database has no such time zone."""

    exit_code = 2


class UnknownSchoolError(errors.GeoingestError):
    """There is no such school."""


class UnknownStudentError(errors.GeoingestError):
    """Something was to be done with a student that is not there."""


def add(connection: db.DirectConnection, time_zone: str) -> int:
    """A school in a time zone of this name; its number."""
    found = connection.execute(db.queries()["time_zone_named"], [time_zone]).fetchone()
    if found is None:
        raise UnknownTimeZoneError(
            f"--time-zone: the database knows no {time_zone!r}; take a name as Europe/Berlin"
        )
    added = connection.execute(db.queries()["add_school"], [found["name"]])
    return int(db.one(added)["school_id"])


def move(connection: db.DirectConnection, school_id: int, students: Sequence[int] | None) -> int:
    """Puts these students, or with None all, into a school; how many were not there before."""
    with connection.transaction():
        require(connection, school_id)
        if students is not None:
            require_students(connection, students)
        return connection.execute(db.queries()["move_students"], [school_id, students]).rowcount


def require(connection: db.DirectConnection, school_id: int) -> None:
    """UnknownSchoolError unless it is there."""
    if connection.execute(db.queries()["school"], [school_id]).fetchone() is None:
        raise UnknownSchoolError(f"there is no school {school_id}; run: geoingest school add")


def require_students(connection: db.DirectConnection, students: Sequence[int]) -> None:
    """UnknownStudentError, with their numbers, unless all are there."""
    wanted = sorted(set(students))
    unknown = connection.execute(db.queries()["unknown_students"], [wanted]).fetchall()
    if unknown:
        ids = ", ".join(str(row["student_id"]) for row in unknown)
        raise UnknownStudentError(f"no such student: {ids}")


def student_of(connection: db.DirectConnection, external_id: str) -> int:
    """The number of the student whom the school platform calls so; UnknownStudentError."""
    found = connection.execute(db.queries()["student_of"], [external_id]).fetchone()
    if found is None:
        raise UnknownStudentError(f"no such student: {external_id}")
    return int(str(found["student_id"]))
