"""The directory: schools, classes, students, guardians and staff, by the ids of the school platform.

A line says all of what it names: what it leaves out is empty then. Two things are too dear for that and stay
where they are left out: `email`, because a password hangs on it, and `revoked`, because nobody is let in again
by a line that does not say so. What no line names stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import msgspec

from geoingest.access import directory_people, directory_places
from geoingest.access.directory_line import Line

KINDS: dict[str, type[Line]] = {
    "schools": directory_places.School,
    "classes": directory_places.Class,
    "students": directory_places.Student,
    "guardians": directory_people.Guardian,
    "staff": directory_people.Staff,
}
Reason: TypeAlias = Literal[
    "malformed",
    "too_long",
    "unknown_field",
    "missing",
    "invalid",
    "duplicate",
    "contradiction",
    "unknown_school",
    "unknown_class",
    "unknown_student",
    "class_of_other_school",
    "unknown_time_zone",
    "email_in_use",
    "being_erased",
    "is_staff",
]


# Those who may be revoked.
PEOPLE = ("guardians", "staff")
# How many bad lines are told.
MOST_BAD = 1_000


class BadLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a line cannot be taken; nothing of what it says."""

    line: int
    reason: Reason
    # Of those that a line may have, where it is one that is missing or invalid.
    field: str | None = None


class Refusal(NamedTuple):
    """Nothing has changed: the first of the bad lines, and how many there are."""

    bad: int
    bad_lines: list[BadLine]


class Report(msgspec.Struct, frozen=True):
    """How many lines there were, and what became of those whom they name."""

    lines: int
    added: int
    changed: int
    unchanged: int


class Sums:
    """What the rounds of putting one body in force have come to: numbers that are taken cost another."""

    def __init__(self, lines: int) -> None:
        self._lines = lines
        self._added = self._changed = self._named = 0
        self.is_unfinished = True

    def add(self, row: Mapping[str, Any]) -> None:
        """A round's row."""
        self._named = row["named"]
        self._added += row["added"]
        self._changed += row["changed"]
        self.is_unfinished = row["missing"] > 0

    def report(self) -> Report:
        """All together."""
        unchanged = self._named - self._added - self._changed
        return Report(self._lines, self._added, self._changed, unchanged)


def refusal(
    bad: int, bad_lines: Sequence[BadLine], found: Iterable[Mapping[str, Any]]
) -> Refusal | None:
    """What was bad by itself, and what the database has found, in order; None where nothing is."""
    rows = list(found)
    more = [BadLine(row["line"], row["reason"]) for row in rows]
    total = bad + (rows[0]["bad"] if rows else 0)
    told = sorted([*bad_lines, *more], key=lambda one: one.line)[:MOST_BAD]
    return Refusal(total, told) if total else None
