"""What a line says of a school, a class or a student."""

from __future__ import annotations

import datetime
from typing import Annotated, Any, ClassVar

import msgspec
from typing_extensions import override

from geoingest.access.directory_line import Clock, Id, Line, Weekday


class School(Line, frozen=True, kw_only=True, gc=False):
    """A school; without hours it has none."""

    columns: ClassVar = {
        "external_id": "text",
        "time_zone": "text",
        "opens_at": "time",
        "closes_at": "time",
        "weekdays": "int2[]",
        "holidays": "date[]",
    }

    time_zone: Id
    opens_at: Clock | None = None
    closes_at: Clock | None = None
    weekdays: Annotated[list[Weekday], msgspec.Meta(max_length=7)] | None = None
    holidays: Annotated[list[datetime.date], msgspec.Meta(max_length=1000)] | None = None

    @override
    def fault(self) -> str | None:
        opens_at, closes_at = _time(self.opens_at), _time(self.closes_at)
        if (opens_at is None) != (closes_at is None):
            return "opens_at" if opens_at is None else "closes_at"
        if opens_at is not None and closes_at is not None and opens_at >= closes_at:
            return "closes_at"
        return None

    @override
    def row(self) -> tuple[Any, ...]:
        weekdays = range(1, 6) if self.weekdays is None else self.weekdays
        return (
            self.external_id,
            self.time_zone,
            _time(self.opens_at),
            _time(self.closes_at),
            sorted(set(weekdays)),
            sorted(set(self.holidays or ())),
        )


class Class(Line, frozen=True, kw_only=True, gc=False):
    """A class of a school. One that moves to another takes its students and scopes along."""

    columns: ClassVar = {"external_id": "text", "school": "text"}

    school: Id

    @override
    def row(self) -> tuple[Any, ...]:
        return self.external_id, self.school


class Student(Line, frozen=True, kw_only=True, gc=False):
    """A student; the school of a class need not be named."""

    columns: ClassVar = {"external_id": "text", "school": "text", "class": "text"}

    school: Id | None = None
    class_: Id | None = msgspec.field(default=None, name="class")

    @override
    def row(self) -> tuple[Any, ...]:
        return self.external_id, self.school, self.class_


def _time(clock: str | None) -> datetime.time | None:
    return None if clock is None else datetime.time.fromisoformat(clock)
