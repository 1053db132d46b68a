"""Rejected pings leave after 30 days, those of an erased student with the next run."""

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
        return f"{self.rows} rejected pings gone"


def run_once(
    connection: db.DirectConnection, settings: config.Config, now: datetime.datetime
) -> Expired:
    """Deletes what is older, in pieces."""
    of_erased = connection.execute(db.queries()["delete_rejects_of_erased"]).rowcount
    horizon = now - datetime.timedelta(days=settings.rejected_days)
    gone = 0
    while True:
        deleted = connection.execute(
            db.queries()["delete_expired_rejections"], [horizon, _PIECE_ROWS]
        ).rowcount
        gone += deleted
        if deleted < _PIECE_ROWS:
            return Expired(gone + of_erased)
