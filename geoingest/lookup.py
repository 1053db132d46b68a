"""A look-up: who was told what about which student, as it is put on record; never a coordinate."""

from __future__ import annotations

import datetime
from typing import Literal, NamedTuple, TypeAlias

from geoingest.bearer import Bearer

Kind: TypeAlias = Literal["location", "locations", "track", "export", "days", "lookups"]

# What is shown by a share, which is for finding somebody: no days, and not who looked.
BY_SHARE: frozenset[Kind] = frozenset({"location", "locations", "track", "export"})


class Lookup(NamedTuple):
    """One student of one answer; of `location` and `locations` there is no window, of `export` no rows."""

    bearer: Bearer
    student_id: int
    kind: Kind
    window_from: datetime.datetime | None
    window_to: datetime.datetime | None
    rows: int | None
