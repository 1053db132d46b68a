"""What guardians ask: prebuilt GET requests, drawn at random."""

from __future__ import annotations

import collections
import random
from collections.abc import Iterable, Sequence

from bench import stream
from geoingest.access import provision

FROM_REPLICA = b'"source":"replica"}'
FROM_PRIMARY = b'"source":"primary"}'
SOURCES = (FROM_REPLICA, FROM_PRIMARY)


class Questions:
    """An endless supply of them."""

    def __init__(self, made: Sequence[bytes]) -> None:
        self._made = made
        self._chooser = random.Random(4)

    def request(self, _number: int) -> bytes:
        """Any of them, whatever the number."""
        return self._made[self._chooser.randrange(len(self._made))]


def newest(enrolled: Sequence[provision.Enrolled], *, port: int) -> Questions:
    """Each viewer asks for its student's newest position."""
    return Questions(
        [
            get(f"/v1/students/{one.student_id}/location", one.viewer_token, port=port)
            for one in enrolled
        ]
    )


def get(path: str, token: str, *, port: int) -> bytes:
    """A question of whoever has this token."""
    return (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: guardian/1.0\r\n"
        f"Accept: application/json\r\nAuthorization: Bearer {token}\r\n\r\n"
    ).encode()


def replica_share(outcomes: Iterable[stream.Outcome]) -> float | None:
    """Of the answers, how many came from the replica."""
    endings = sum((collections.Counter(one.endings) for one in outcomes), collections.Counter())
    return round(endings[FROM_REPLICA] / endings.total(), 4) if endings else None
