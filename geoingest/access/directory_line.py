"""What a line of the directory is made of: values that are checked as it is decoded."""

from __future__ import annotations

import datetime
from typing import Annotated, Any, ClassVar

import msgspec

# No control characters, and no space around it that somebody would look for in vain.
_VISIBLE = r"[^\s\x00-\x1f\x7f]"
Id = Annotated[
    str,
    msgspec.Meta(max_length=200, pattern=rf"\A{_VISIBLE}([^\x00-\x1f\x7f]*{_VISIBLE})?\Z"),
]
# As addresses are written where they have to arrive: ASCII, whose small letters nobody disputes.
Email = Annotated[str, msgspec.Meta(max_length=254, pattern=r"\A[!-?A-~]+@[!-?A-~]+\Z")]
Clock = Annotated[str, msgspec.Meta(pattern=r"\A([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?\Z")]
Weekday = Annotated[int, msgspec.Meta(ge=1, le=7)]
Instant = Annotated[datetime.datetime, msgspec.Meta(tz=True)]


class Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, gc=False):
    """What every line has."""

    columns: ClassVar[dict[str, str]]

    external_id: Id

    def fault(self) -> str | None:
        """A field that is not right beside the others."""
        return None

    def row(self) -> tuple[Any, ...]:
        """The values of the columns."""
        raise NotImplementedError
