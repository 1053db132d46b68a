"""The service as one would first write it: FastAPI on uvicorn, an INSERT per ping or an executemany per body.

Made as fast as that is without a queue: uvloop, httptools, no access log, one process, a pool of
prepared statements, tokens in a dict, bodies checked by pydantic as FastAPI does it.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import os
from collections.abc import AsyncIterator, Sequence
from typing import Annotated, NamedTuple

import asyncpg
import fastapi
import orjson
import pydantic
import uvicorn

from geoingest.local import child

NAIVE_PATH = "/naive"
EXECUTEMANY_PATH = "/executemany"
POOL_CONNECTIONS = 10
_INSERT = """
INSERT INTO geolocation_data (
    student_id, "timestamp", device_id, latitude, longitude, accuracy, altitude, speed, course,
    battery, received_at
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
"""


class Ping(pydantic.BaseModel):
    """A ping's body."""

    timestamp: pydantic.AwareDatetime
    latitude: Annotated[float, pydantic.Field(ge=-90, le=90)]
    longitude: Annotated[float, pydantic.Field(ge=-180, le=180)]
    accuracy: Annotated[float, pydantic.Field(ge=0)] | None = None
    altitude: float | None = None
    speed: Annotated[float, pydantic.Field(ge=0)] | None = None
    course: Annotated[float, pydantic.Field(ge=0, le=360)] | None = None
    battery: Annotated[int, pydantic.Field(ge=0, le=100)] | None = None


class Answer(pydantic.BaseModel):
    """In our service's words, so that one client understands both."""

    received: int
    stored: int
    duplicate: int = 0
    rejected: list[str] = []


class Sender(NamedTuple):
    """Whose token it is."""

    student_id: int
    device_id: int


class Store:
    """The pool, and who may post; filled while the application runs."""

    pool: asyncpg.Pool[asyncpg.Record]
    senders: dict[bytes, Sender]

    @contextlib.asynccontextmanager
    async def running(self, _app: fastapi.FastAPI) -> AsyncIterator[None]:
        """Opens the pool and reads the devices."""
        async with asyncpg.create_pool(
            os.environ["DATABASE_URL"], min_size=POOL_CONNECTIONS, max_size=POOL_CONNECTIONS
        ) as self.pool:
            found = await self.pool.fetch("SELECT token_digest, student_id, device_id FROM devices")
            self.senders = {digest: Sender(*rest) for digest, *rest in found}
            yield


_store = Store()
application = fastapi.FastAPI(lifespan=_store.running)


async def sender(request: fastapi.Request) -> Sender:
    """401 for a token that nobody has."""
    token = request.headers.get("authorization", "").removeprefix("Bearer ")
    found = _store.senders.get(hashlib.sha256(token.encode()).digest())
    if found is None:
        raise fastapi.HTTPException(401)
    return found


KnownSender = Annotated[Sender, fastapi.Depends(sender)]


@application.get("/readyz")
async def ready() -> None:
    """Answers once the pool is open."""


@application.post(NAIVE_PATH)
async def insert_each(body: Ping | list[Ping], sender: KnownSender) -> Answer:
    """Each ping by an INSERT and a commit of its own."""
    rows = _rows(body, sender)
    async with _store.pool.acquire() as connection:
        for row in rows:
            await connection.execute(_INSERT, *row)
    return Answer(received=len(rows), stored=len(rows))


@application.post(EXECUTEMANY_PATH)
async def insert_together(body: Ping | list[Ping], sender: KnownSender) -> Answer:
    """All pings of the body by one executemany, which is one transaction and one round trip."""
    rows = _rows(body, sender)
    async with _store.pool.acquire() as connection:
        await connection.executemany(_INSERT, rows)
    return Answer(received=len(rows), stored=len(rows))


def _rows(body: Ping | Sequence[Ping], sender: Sender) -> list[tuple[object, ...]]:
    now = datetime.datetime.now(datetime.UTC)
    return [
        (
            sender.student_id,
            one.timestamp,
            sender.device_id,
            one.latitude,
            one.longitude,
            one.accuracy,
            one.altitude,
            one.speed,
            one.course,
            one.battery,
            now,
        )
        for one in ([body] if isinstance(body, Ping) else body)
    ]


def main() -> None:
    """Listens on a free port and says which, in the words of `geoingest serve`."""
    child.follow_parent()
    config = uvicorn.Config(
        application, port=0, loop="uvloop", http="httptools", access_log=False, log_level="warning"
    )
    listening = config.bind_socket()
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    print(orjson.dumps({"message": "serving", "url": url, "admin": url}).decode(), flush=True)
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
