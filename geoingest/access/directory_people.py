"""What a line says of a guardian or a member of staff.

Each has a line for each student, or school or class, because that is how the tables of school platforms have
them, and so that a report names the one that is wrong. All lines of a person belong into one body: together
they say whom the person sees, and nobody else. A line without a student, school or class says that it is nobody.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import msgspec
from typing_extensions import override

from geoingest.access.directory_line import Email, Id, Instant, Line

# Far from where a time zone could push it out of the calendar.
_YEARS = range(1900, 3000)


class _Person(Line, frozen=True, kw_only=True, gc=False):
    email: Email | msgspec.UnsetType | None = msgspec.UNSET
    revoked: bool | None = None

    def person(self) -> tuple[Any, ...]:
        keeps_email = isinstance(self.email, msgspec.UnsetType)
        email = None if isinstance(self.email, msgspec.UnsetType) else self.email
        return self.external_id, email and email.lower(), keeps_email, self.revoked


_PERSON = {"external_id": "text", "email": "text", "keeps_email": "bool", "revoked": "bool"}


class Guardian(_Person, frozen=True, kw_only=True, gc=False):
    """A guardian's view of one student, and its terms; consent that was withdrawn ended in the past."""

    columns: ClassVar = {
        **_PERSON,
        "student": "text",
        "valid_from": "timestamptz",
        "valid_until": "timestamptz",
        "consent_until": "timestamptz",
        "school_hours_only": "bool",
    }

    student: Id | None = None
    valid_from: Instant | None = None
    valid_until: Instant | None = None
    consent_until: Instant | None = None
    school_hours_only: bool | None = None

    @override
    def fault(self) -> str | None:
        """Also terms of nobody: a column that was lost must not pass for seeing nobody."""
        terms = (self.valid_from, self.valid_until, self.consent_until)
        if self.student is None and any(terms):
            return "student"
        for name in ("valid_from", "valid_until", "consent_until"):
            instant = getattr(self, name)
            if instant is not None and instant.year not in _YEARS:
                return name
        if self.valid_from and self.valid_until and self.valid_from >= self.valid_until:
            return "valid_until"
        return None

    @override
    def row(self) -> tuple[Any, ...]:
        return (
            *self.person(),
            self.student,
            self.valid_from,
            self.valid_until,
            self.consent_until,
            bool(self.school_hours_only),
        )


class Staff(_Person, frozen=True, kw_only=True, gc=False):
    """Whom a member of staff sees: those of a class, of a school, or everybody."""

    columns: ClassVar = {
        **_PERSON,
        "role": "text",
        "sees_all": "bool",
        "school": "text",
        "class": "text",
    }

    role: Literal["staff", "admin"]
    sees_all: bool | None = None
    school: Id | None = None
    class_: Id | None = msgspec.field(default=None, name="class")

    @override
    def row(self) -> tuple[Any, ...]:
        return (*self.person(), self.role, bool(self.sees_all), self.school, self.class_)
