"""Who was erased: the table and the ledger, each of which gets what only the other has."""

from __future__ import annotations

import datetime
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from geoingest import db
from geoingest.lifecycle import ledger


def reconciled(connection: db.DirectConnection, path: pathlib.Path) -> list[ledger.Entry]:
    """All erasures, the oldest first; the table gets those that only the file has, the file the table's."""
    in_table = [_entry(row) for row in connection.execute(db.queries()["erasures_noted"])]
    in_file = ledger.read(path).entries
    device_ids: dict[tuple[datetime.datetime, int], set[int]] = {}
    for entry in [*in_table, *in_file]:
        device_ids.setdefault((entry.erased_at, entry.student_id), set()).update(entry.device_ids)
    merged = [
        ledger.Entry(student_id, tuple(sorted(ids)), erased_at)
        for (erased_at, student_id), ids in sorted(device_ids.items())
    ]
    for entry in merged:
        if entry not in in_table:
            note(connection, entry.student_id, entry.erased_at, entry.device_ids)
        if entry not in in_file:
            ledger.append(path, entry)
    return merged


def of(student_id: int, entries: Iterable[ledger.Entry]) -> list[ledger.Entry]:
    """Those of one student, the oldest first."""
    return [entry for entry in entries if entry.student_id == student_id]


def is_another(
    connection: db.DirectConnection, student_id: int, known: Sequence[ledger.Entry]
) -> bool:
    """Whether the number was given to a student who was added after the last erasure."""
    row = connection.execute(db.queries()["student_added_at"], [student_id]).fetchone()
    return row is not None and row["created_at"] > known[-1].erased_at  # type: ignore[operator]  # an instant


def note(
    connection: db.DirectConnection,
    student_id: int,
    erased_at: datetime.datetime | None,
    device_ids: Sequence[int],
) -> ledger.Entry:
    """Puts it into the table, with `None` as of now; what is there of it gets these devices."""
    values = [student_id, erased_at, list(device_ids)]
    return _entry(db.one(connection.execute(db.queries()["note_erasure"], values)))


def _entry(row: Mapping[str, Any]) -> ledger.Entry:
    erased_at: datetime.datetime = row["erased_at"]
    return ledger.Entry(
        row["student_id"], tuple(row["device_ids"]), erased_at.astimezone(datetime.UTC)
    )
