"""A look-up: who was told what about which students, as it is put on record; never a coordinate."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Literal, NamedTuple, TypeAlias

from geoingest.bearer import Bearer

Kind: TypeAlias = Literal["location", "locations", "track", "export", "days", "lookups"]

# What is shown by a share, which is for finding somebody: no days, and not who looked.
BY_SHARE: frozenset[Kind] = frozenset({"location", "locations", "track", "export"})


class Lookup(NamedTuple):
    """One answer; of `location` and `locations` there is no window.

    How many rows were shown of each student: 0 where there is nothing to show, None of an `export`.
    """

    bearer: Bearer
    kind: Kind
    window_from: datetime.datetime | None
    window_to: datetime.datetime | None
    rows: Mapping[int, int | None]
