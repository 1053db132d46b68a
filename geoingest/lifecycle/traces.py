"""What the tables hold of a student: looked for, and removed for good."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NamedTuple, TypeAlias

import psycopg
from psycopg import sql

from geoingest import db
from geoingest.lifecycle import partitions

_PIECE_ROWS = 5_000

Tell: TypeAlias = Callable[[str], None]


class Erased(NamedTuple):
    """How much of a student was removed."""

    student_id: int
    pings: int = 0
    hours: int = 0
    days: int = 0
    late_hours: int = 0
    rejects: int = 0
    archived_pings: int = 0
    viewers: int = 0
    devices: int = 0

    def plus(self, other: Erased) -> Erased:
        """Both together."""
        sums = (mine + more for mine, more in zip(self[1:], other[1:], strict=True))
        return Erased(self.student_id, *sums)


def is_held(connection: db.DirectConnection, student_id: int, device_ids: Collection[int]) -> bool:
    """Whether anything is there of the student, or a reject of these devices."""
    found = connection.execute(db.queries()["is_held"], [student_id, list(device_ids)])
    return bool(db.one(found)["is_held"])


def remove_rows(
    connection: db.DirectConnection, student_id: int, device_ids: Collection[int], *, tell: Tell
) -> Erased:
    """Pings, hours, days and rejects, piece by piece; the caller holds the jobs' lock."""
    pings = 0
    for month in partitions.attached(connection):
        values = [student_id, *partitions.bounds(month), _PIECE_ROWS]
        while deleted := connection.execute(db.queries()["erase_pings"], values).rowcount:
            pings += deleted
            tell(f"student {student_id}: {pings} pings removed")
    for row in connection.execute(db.queries()["detached_months"]).fetchall():
        table = sql.Identifier(str(row["table_name"]))
        statement = sql.SQL("DELETE FROM {} WHERE student_id = $1").format(table)
        pings += connection.execute(statement, [student_id]).rowcount
    hours, days, late_hours = (
        connection.execute(db.queries()[query], [student_id]).rowcount
        for query in ("erase_hours", "erase_days", "erase_late_hours")
    )
    rejects = connection.execute(
        db.queries()["erase_rejects"], [student_id, list(device_ids)]
    ).rowcount
    return Erased(student_id, pings, hours, days, late_hours, rejects)


def remove_identity(connection: db.DirectConnection, student_id: int) -> Erased:
    """Viewers who see nobody else, guardianships, devices, student; nothing where one was added meanwhile."""
    try:
        with connection.transaction():
            viewers, _, devices, _ = (
                connection.execute(db.queries()[query], [student_id]).rowcount
                for query in (
                    "erase_viewers",
                    "erase_guardianships",
                    "erase_devices",
                    "erase_student",
                )
            )
    except psycopg.IntegrityError:
        return Erased(student_id)
    return Erased(student_id, devices=devices, viewers=viewers)
