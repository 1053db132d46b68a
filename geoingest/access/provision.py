"""Students, devices and viewers are added here, one or many at a time; tokens are shown once."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import psycopg

from geoingest import db, errors
from geoingest.access import schools, tokens


class Enrolled(NamedTuple):
    """One provisioned student: a line of the CSV."""

    student_id: int
    device_id: int
    device_token: str
    viewer_token: str


class Rotated(NamedTuple):
    """A device's new token, and when the one before ends; None for at once."""

    token: str
    previous_until: datetime.datetime | None


class UnknownDeviceError(errors.GeoingestError):
    """A device was to be revoked or rotated that is not there."""


class UnknownViewerError(errors.GeoingestError):
    """A viewer was to be revoked that is not there."""


class KnownViewerError(errors.GeoingestError):
    """A viewer was to be added that is there."""


def bulk(
    connection: db.DirectConnection, students: int, *, school_id: int | None = None
) -> list[Enrolled]:
    """Adds students with a device and a viewer each, by COPY, in the caller's transaction.

    UnknownSchoolError when there is no such school.
    """
    if school_id is not None:
        schools.require(connection, school_id)
    student_ids: list[int] = []
    while len(student_ids) < students:
        # The platform may have chosen some of the next numbers itself.
        missing = students - len(student_ids)
        found = connection.execute(db.queries()["reserve_student_ids"], [missing])
        student_ids += [int(str(row["student_id"])) for row in found]
    device_ids = _reserve(connection, "devices", "device_id", students)
    viewer_ids = _reserve(connection, "viewers", "viewer_id", students)
    enrolled = [
        Enrolled(student_id, device_id, tokens.create("device"), tokens.create("viewer"))
        for student_id, device_id in zip(student_ids, device_ids, strict=True)
    ]
    _copy(
        connection,
        "students (student_id, school_id)",
        ["int8", "int4"],
        ((one, school_id) for one in student_ids),
    )
    _copy(
        connection,
        "devices (device_id, student_id, token_digest)",
        ["int4", "int8", "bytea"],
        ((one.device_id, one.student_id, tokens.digest(one.device_token)) for one in enrolled),
    )
    _copy(
        connection,
        "viewers (viewer_id, token_digest)",
        ["int4", "bytea"],
        (
            (viewer_id, tokens.digest(one.viewer_token))
            for viewer_id, one in zip(viewer_ids, enrolled, strict=True)
        ),
    )
    _copy(
        connection,
        "guardianships (viewer_id, student_id)",
        ["int4", "int8"],
        zip(viewer_ids, student_ids, strict=True),
    )
    return enrolled


def still_live(connection: db.DirectConnection, enrolled: Sequence[Enrolled]) -> list[Enrolled]:
    """Those whose device token this database knows and has not revoked."""
    digests = [tokens.digest(one.device_token) for one in enrolled]
    found = connection.execute(db.queries()["live_devices"], [digests])
    live = {row["device_id"] for row in found}
    return [one for one in enrolled if one.device_id in live]


def add_device(
    connection: db.DirectConnection, student_id: int | None, *, owntracks_key: bytes | None = None
) -> tuple[int, str]:
    """A device of a student (added if new), or with None a gateway; its id and token."""
    token = tokens.create("device")
    with connection.transaction():
        if student_id is not None:
            connection.execute(db.queries()["add_student"], [student_id])
        device_id = _returned(
            connection,
            db.queries()["add_device"],
            [student_id, tokens.digest(token), owntracks_key],
        )
    return device_id, token


def rotate_device(
    connection: db.DirectConnection, device_id: int, *, overlap: datetime.timedelta
) -> Rotated:
    """A new token; the one before works for so long, the one before that no more.

    UnknownDeviceError when there is no such device, or it is revoked.
    """
    token = tokens.create("device")
    values = [device_id, tokens.digest(token), overlap]
    rotated = connection.execute(db.queries()["rotate_device"], values)
    if not rotated.rowcount:
        raise UnknownDeviceError(f"there is no device {device_id}, or it is revoked")
    return Rotated(token, db.one(rotated)["previous_until"])


def revoke_device(connection: db.DirectConnection, device_id: int) -> None:
    """Its tokens stop working within 5 s; UnknownDeviceError when there is no such device."""
    if connection.execute(db.queries()["revoke_device"], [device_id]).fetchone() is None:
        raise UnknownDeviceError(f"there is no device {device_id}")


def add_viewer(
    connection: db.DirectConnection,
    students: Sequence[int] | None,
    *,
    role: str | None = None,
    external_id: str | None = None,
) -> tuple[int, str]:
    """A viewer of these students, or with None of all; its id and token.

    Without a role it is staff who sees all, and a guardian else. KnownViewerError when there is one of this external id.
    """
    token = tokens.create("viewer")
    with connection.transaction():
        role = role or ("staff" if students is None else "guardian")
        values: list[object] = [tokens.digest(token), students is None, role, external_id]
        added = connection.execute(db.queries()["add_viewer"], values).fetchone()
        if added is None:
            raise KnownViewerError("there is a viewer with this external id")
        viewer_id = int(str(added["viewer_id"]))
        if students is not None:
            wanted = sorted(set(students))
            schools.require_students(connection, wanted)
            connection.execute(db.queries()["add_guardianships"], [viewer_id, wanted])
    return viewer_id, token


def revoke_viewer(connection: db.DirectConnection, viewer_id: int) -> None:
    """Nothing is shown to it any more; UnknownViewerError when there is no such viewer."""
    with connection.transaction():
        if connection.execute(db.queries()["revoke_viewer"], [viewer_id]).fetchone() is None:
            raise UnknownViewerError(f"there is no viewer {viewer_id}")
        connection.execute(db.queries()["end_what_revoked_had"])


def _returned(connection: db.DirectConnection, query: str, values: list[object]) -> int:
    row = connection.execute(query, values).fetchone()
    assert row is not None, "INSERT .. RETURNING gives a row"  # noqa: S101  # for the type checker
    (number,) = row.values()
    return int(str(number))


def _reserve(connection: db.DirectConnection, table: str, column: str, count: int) -> list[int]:
    found = connection.execute(db.queries()["reserve_ids"], [table, column, count])
    return [int(str(row["id"])) for row in found]


def _copy(
    connection: psycopg.Connection[dict[str, object]],
    target: str,
    types: list[str],
    rows: Iterable[Sequence[object]] | Iterator[Sequence[object]],
) -> None:
    statement = f"COPY {target} FROM STDIN (FORMAT binary)".encode()
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        copy.set_types(types)
        for row in rows:
            copy.write_row(row)
