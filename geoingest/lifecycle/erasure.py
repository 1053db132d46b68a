"""A student is erased, with everything that is held: pings, hours, days, rejects, archive, devices, viewers.

A run that is killed anywhere leaves what the next one goes on from:

1. The student is marked and the devices are revoked, in one transaction that notes the erasure in the
   table; then the ledger has it, on the disk. No service lets in what comes 5 s after.
2. Everything is removed, in pieces, under the jobs' lock: neither a roller nor the archive writes meanwhile.
3. What a service had let in before may still be on its way. When the mark is a minute old, and the
   transactions that are open then have ended, everything is removed again, which finds just that.
4. Viewers who see nobody else, guardianships, devices and the student leave in one transaction.
5. Everything is looked for. If anything is left, it begins again.

A replay does the same for whoever the ledger names and a restored copy has brought back. It knows them
from students who were given the number later by when they were added.
"""

from __future__ import annotations

import datetime
import pathlib
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from geoingest import config, db, errors
from geoingest.lifecycle import archived, barrier, ledger, locks, register, traces

_MOST_ROUNDS = 5
# A round of retention that writes many days takes its time.
_LOCK_SECONDS = 600.0
_TICK_SECONDS = 1.0


class Replayed(NamedTuple):
    """What was erased again, who the ledger names in all, whose number another has now, what cannot be read."""

    erased: list[traces.Erased]
    students: int
    spared: list[int]
    unreadable: list[int]


class UnknownStudentError(errors.GeoingestError):
    """Nothing is held of the student that was to be erased."""


class NotErasedError(errors.GeoingestError):
    """Something of a student was there again each time."""


def erase(
    connection: db.DirectConnection, settings: config.Config, student_id: int, *, tell: traces.Tell
) -> traces.Erased:
    """Removes everything held of the student, which takes a minute; UnknownStudentError if nothing ever was."""
    known = register.of(student_id, register.reconciled(connection, settings.ledger))
    if not known and not traces.is_held(connection, student_id, []):
        raise UnknownStudentError(f"no such student: {student_id}")
    (erased,) = _erase(connection, settings, {student_id: known}, tell)
    return erased


def replay(
    connection: db.DirectConnection, settings: config.Config, *, tell: traces.Tell
) -> Replayed:
    """Erases again whoever the ledger or the table names and is back; each then has what the other had."""
    unreadable = ledger.read(settings.ledger).unreadable
    known = register.reconciled(connection, settings.ledger)
    students = {entry.student_id: register.of(entry.student_id, known) for entry in known}
    spared = [one for one, mine in students.items() if register.is_another(connection, one, mine)]
    back = {
        student_id: mine
        for student_id, mine in students.items()
        # An archive may be older than the database.
        if student_id not in spared
        and (settings.archive_dir or traces.is_held(connection, student_id, _device_ids(mine)))
    }
    erased = [one for one in _erase(connection, settings, back, tell) if any(one[1:])]
    return Replayed(erased, len(students), spared, unreadable)


def _erase(
    connection: db.DirectConnection,
    settings: config.Config,
    students: Mapping[int, Sequence[ledger.Entry]],
    tell: traces.Tell,
) -> list[traces.Erased]:
    if not students:
        return []
    ledger.check(settings.ledger)
    sums = {student_id: traces.Erased(student_id) for student_id in students}
    left = list(students)
    for _ in range(_MOST_ROUNDS):
        entries = [_begin(connection, settings.ledger, one, students[one]) for one in left]
        for erased in _round(connection, settings, entries, tell):
            sums[erased.student_id] = sums[erased.student_id].plus(erased)
        students = {one.student_id: [*students[one.student_id], one] for one in entries}
        left = [
            one.student_id
            for one in entries
            if traces.is_held(connection, one.student_id, one.device_ids)
        ]
        for entry in entries:
            if entry.student_id not in left:
                connection.execute(db.queries()["note_erased"], [entry.student_id, entry.erased_at])
        if not left:
            return list(sums.values())
    raise NotErasedError(
        f"student {left[0]} is there again each time: somebody adds devices or guardians; run it again"
    )


def _begin(
    connection: db.DirectConnection,
    path: pathlib.Path,
    student_id: int,
    known: Sequence[ledger.Entry],
) -> ledger.Entry:
    """Marks and notes; under the instant of an erasure that meant this very student, if there is one."""
    with connection.transaction():
        marked = connection.execute(db.queries()["mark_student"], [student_id]).fetchone()
        revoked = connection.execute(db.queries()["revoke_devices"], [student_id]).fetchall()
        erased_at = _meant(known, None if marked is None else dict(marked))
        noted = [one for one in known if one.erased_at == erased_at]
        device_ids = _device_ids(noted) | {int(str(row["device_id"])) for row in revoked}
        entry = register.note(connection, student_id, erased_at, sorted(device_ids))
    ledger.append(path, entry)
    return entry


def _meant(
    known: Sequence[ledger.Entry], marked: dict[str, Any] | None
) -> datetime.datetime | None:
    """When the erasure began that is to be finished, or is to be done again; None for now."""
    if marked is None:
        return known[-1].erased_at if known else None
    same = [one.erased_at for one in known if one.erased_at >= marked["created_at"]]
    return same[-1] if same else marked["erased_at"]


def _round(
    connection: db.DirectConnection,
    settings: config.Config,
    entries: Sequence[ledger.Entry],
    tell: traces.Tell,
) -> Iterator[traces.Erased]:
    with locks.hold(connection, locks.JOBS, patience_seconds=_LOCK_SECONDS):
        yield from _sweep(connection, settings, entries, tell)
    _wait_until_settled(connection, [entry.student_id for entry in entries], tell)
    barrier.wait_for_writers(connection, patience_seconds=barrier.PATIENCE_SECONDS)
    with locks.hold(connection, locks.JOBS, patience_seconds=_LOCK_SECONDS):
        yield from _sweep(connection, settings, entries, tell)
        for entry in entries:
            yield traces.remove_identity(connection, entry.student_id)


def _sweep(
    connection: db.DirectConnection,
    settings: config.Config,
    entries: Sequence[ledger.Entry],
    tell: traces.Tell,
) -> Iterator[traces.Erased]:
    for entry in entries:
        yield traces.remove_rows(connection, entry.student_id, entry.device_ids, tell=tell)
    if settings.archive_dir:
        tell("the archive is looked through")
        folder = pathlib.Path(settings.archive_dir)
        gone = archived.remove(folder, [entry.student_id for entry in entries])
        for student_id, pings in gone.items():
            yield traces.Erased(student_id, archived_pings=pings)


def _wait_until_settled(
    connection: db.DirectConnection, students: Sequence[int], tell: traces.Tell
) -> None:
    """Until the marks are a minute old: no service lets in, or still writes, what was sent before them."""
    while True:
        row = db.one(connection.execute(db.queries()["seconds_to_settle"], [list(students)]))
        if row["seconds"] <= 0:
            return
        tell(f"{row['seconds']:.0f} s until nothing can be on its way any more")
        time.sleep(min(row["seconds"], _TICK_SECONDS))


def _device_ids(entries: Iterable[ledger.Entry]) -> set[int]:
    return {device_id for entry in entries for device_id in entry.device_ids}
