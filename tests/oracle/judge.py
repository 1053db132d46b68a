"""The rules, and what breaks them."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import NamedTuple

from typing_extensions import override

from tests import conftest
from tests.oracle import counted, stored, told


class Findings(NamedTuple):
    """Every way in which a promise can be broken; all empty is what the tests want."""

    # Answered ok and not in the table.
    lost: AbstractSet[told.Key]
    # In the table more than once.
    doubled: AbstractSet[told.Key]
    # In the table, and never sent.
    unsent: AbstractSet[told.Key]
    # In the table, and all that the phone ever heard was that they never will be.
    rejected_yet_stored: AbstractSet[told.Key]
    # Nothing was wrong with them.
    wrongly_rejected: AbstractSet[told.Key]
    # Can never be valid, and are ok or in the table.
    wrongly_taken: AbstractSet[told.Key]
    # Numbers that do not add up, in words.
    miscounted: tuple[str, ...] = ()

    @override
    def __str__(self) -> str:
        """How many of which, as a failed test shows it."""
        sizes = {name: len(found) for name, found in self._asdict().items() if found}
        return f"{sizes} {' '.join(self.miscounted)}"


def check(
    log: told.Log, database: conftest.Database, service: counted.Counted | None = None
) -> None:
    """Fails unless nothing is found; `service` where one process lived all the time."""
    found = find(log, stored.read(database), service)
    assert not any(found), str(found)


def find(log: told.Log, there: stored.Stored, service: counted.Counted | None = None) -> Findings:
    """What the three sides say against each other."""
    keys = there.rows.keys()
    return Findings(
        lost=log.ok - keys,
        doubled={key for key, count in there.rows.items() if count > 1},
        unsent=keys - log.ok - log.doubted - log.rejected,
        rejected_yet_stored=(log.rejected & keys) - log.ok - log.doubted,
        wrongly_rejected=log.rejected - log.invalid,
        wrongly_taken=log.invalid & (log.ok | keys),
        miscounted=(*_quarantine(log, there), *(_counters(log, service) if service else ())),
    )


def _quarantine(log: told.Log, there: stored.Stored) -> list[str]:
    """More than were told, because what was not answered is sent and rejected again."""
    if there.quarantined < len(log.rejected):
        return [f"{len(log.rejected)} rejected, {there.quarantined} in quarantine"]
    return []


def _counters(log: told.Log, service: counted.Counted) -> list[str]:
    said = {
        "stored": log.said["stored"],
        "duplicate": log.said["duplicate"],
        "rejected": log.said["rejected"],
        "refused": log.said["overloaded"] + log.said["database_unavailable"],
        "failed": log.said["write_failed"],
    }
    wrong = [f"received {service.missing} more than all else"] if service.missing else []
    for word, told_of in said.items():
        known = getattr(service, word)
        # Of a request that was cut only the service knows what became of it.
        if known < told_of or (known > told_of and not log.cut):
            wrong.append(f"{word}: {known} counted, {told_of} told")
    return wrong
