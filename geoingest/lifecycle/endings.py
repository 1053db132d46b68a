"""What has ended leaves: sessions at once, failures to log in after a day."""

from __future__ import annotations

import datetime
from typing import NamedTuple

from typing_extensions import override

from geoingest import config, db

_PIECE_ROWS = 10_000


class Ended(NamedTuple):
    """How many left, of each."""

    sessions: int
    login_failures: int

    @override
    def __str__(self) -> str:
        return f"{self.sessions} sessions, {self.login_failures} failures to log in gone"


def run_once(
    connection: db.DirectConnection, _settings: config.Config, _now: datetime.datetime
) -> Ended:
    """Deletes them, in pieces, by the clock of the database, which is what they end by."""
    return Ended(
        _delete(connection, "delete_ended_sessions"),
        _delete(connection, "delete_old_login_failures"),
    )


def _delete(connection: db.DirectConnection, query: str) -> int:
    gone = 0
    while True:
        deleted = connection.execute(db.queries()[query], [_PIECE_ROWS]).rowcount
        gone += deleted
        if deleted < _PIECE_ROWS:
            return gone
