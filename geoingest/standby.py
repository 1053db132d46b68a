"""Whether a standby has confirmed a commit: of one that it does not wait for any longer, the server only warns."""

from __future__ import annotations

import asyncpg

from geoingest import db

# The function that warns: committed here, perhaps on no standby.
_WAIT = "SyncRepWaitForLSN"


class Watch:
    """Hears what the server says on a lane's connection, one after the other."""

    def __init__(self) -> None:
        self._is_confirmed = True

    @property
    def is_confirmed(self) -> bool:
        """Of what was committed since it was last expected."""
        return self._is_confirmed

    def listen(self, connection: asyncpg.Connection[db.Record]) -> None:
        """From now on."""
        connection.add_log_listener(self._heed)

    def expect(self) -> None:
        """What comes next is another commit."""
        self._is_confirmed = True

    def _heed(self, _connection: object, message: asyncpg.PostgresLogMessage) -> None:
        if message.server_source_function == _WAIT:
            self._is_confirmed = False
