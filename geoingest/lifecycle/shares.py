"""Shares that have long ended are forgotten, together with who looked by them."""

from __future__ import annotations

import datetime
from typing import NamedTuple

from typing_extensions import override

from geoingest import config, db


class Expired(NamedTuple):
    """How many left."""

    rows: int

    @override
    def __str__(self) -> str:
        return f"{self.rows} shares gone"


def run_once(
    connection: db.DirectConnection, settings: config.Config, now: datetime.datetime
) -> Expired:
    """Deletes those that ended before the look-ups that are kept."""
    horizon = now - datetime.timedelta(days=settings.lookup_days)
    return Expired(connection.execute(db.queries()["expire_shares"], [horizon]).rowcount)
