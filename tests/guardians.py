"""Guardians who ask over HTTP, and the pings they ask about."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from tests import conftest

# Whole seconds, so that an instant reads the same in JSON, in Python and in the database.
NOW = datetime.datetime.now(datetime.UTC).replace(microsecond=0)


class Answer(NamedTuple):
    """What came back, down to its bytes."""

    status: int
    headers: Mapping[str, str]
    raw: bytes

    @property
    def body(self) -> Any:
        """The bytes as JSON."""
        return json.loads(self.raw)


class Guardian:
    """Asks as one viewer."""

    def __init__(self, running: conftest.Running, token: str) -> None:
        self.running = running
        self._token = token

    async def ask(self, path: str, *, accept: str = "*/*", **parameters: Any) -> Answer:
        """GET, with these parameters in the query."""
        headers = self.headers(accept)
        async with self.running.client.get(path, headers=headers, params=parameters) as answer:
            return Answer(answer.status, answer.headers, await answer.read())

    def headers(self, accept: str = "*/*") -> dict[str, str]:
        """Who asks, and for what."""
        return {"Authorization": f"Bearer {self._token}", "Accept": accept}


def ago(**past: float) -> datetime.datetime:
    """So long before the tests began."""
    return NOW - datetime.timedelta(**past)


def instant(shape: Mapping[str, str], member: str = "timestamp") -> datetime.datetime:
    """An instant of an answer."""
    return datetime.datetime.fromisoformat(shape[member])


def store(
    database: conftest.Database, student_id: int, *instants: datetime.datetime, device_id: int = 1
) -> None:
    """Puts pings into the table, all in the same place."""
    database.query(
        'INSERT INTO geolocation_data (student_id, "timestamp", device_id, latitude, longitude,'
        " battery, received_at)"
        " SELECT $1, one, $2, 52.5, 13.4, 50, now() FROM unnest($3::timestamptz[]) AS one",
        student_id,
        device_id,
        list(instants),
    )
