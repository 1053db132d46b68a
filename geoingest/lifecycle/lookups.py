"""It is forgotten after a year who looked."""

from __future__ import annotations

import datetime
from typing import NamedTuple

from typing_extensions import override

from geoingest import config, db

_PIECE_ROWS = 10_000


class Expired(NamedTuple):
    """How many left."""

    rows: int

    @override
    def __str__(self) -> str:
        return f"{self.rows} look-ups gone"


def run_once(
    connection: db.DirectConnection, settings: config.Config, now: datetime.datetime
) -> Expired:
    """Deletes what is older, in pieces, by the one way that the table allows."""
    horizon = now - datetime.timedelta(days=settings.lookup_days)
    gone = 0
    while True:
        found = db.one(connection.execute(db.queries()["expire_lookups"], [horizon, _PIECE_ROWS]))
        gone += found["gone"]
        if found["gone"] < _PIECE_ROWS:
            return Expired(gone)
