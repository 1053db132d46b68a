"""Rejected pings leave after 30 days."""

from __future__ import annotations

import datetime

from geoingest import db

_PIECE_ROWS = 10_000


def expire(connection: db.DirectConnection, *, rejected_days: int, now: datetime.datetime) -> int:
    """Deletes what is older, in pieces; the number of rows gone."""
    horizon = now - datetime.timedelta(days=rejected_days)
    gone = 0
    while True:
        deleted = connection.execute(
            db.queries()["delete_expired_rejections"], [horizon, _PIECE_ROWS]
        ).rowcount
        gone += deleted
        if deleted < _PIECE_ROWS:
            return gone
