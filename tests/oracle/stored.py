"""What the database holds: rows by key, and the quarantine."""

from __future__ import annotations

import collections
from collections.abc import Iterable
from typing import NamedTuple

from tests import conftest
from tests.oracle import told


class Stored(NamedTuple):
    """The database's side of the truth; what is computed from the rows belongs here, too."""

    # How often each key is in the table.
    rows: collections.Counter[told.Key]
    quarantined: int


def read(database: conftest.Database) -> Stored:
    """All that is there now."""
    ((quarantined,),) = database.query("SELECT count(*) FROM rejected_pings")
    return Stored(rows(database), int(str(quarantined)))


def rows(database: conftest.Database) -> collections.Counter[told.Key]:
    """How often each key is in the table."""
    found = database.query('SELECT student_id, "timestamp", device_id FROM geolocation_data')
    keys: Iterable[told.Key] = found  # type: ignore[assignment]  # as selected
    return collections.Counter(keys)
