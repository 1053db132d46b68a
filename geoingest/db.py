"""What PostgreSQL's errors mean, connections for long work, and the named queries of sql/queries."""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import asyncpg
import psycopg
import psycopg.conninfo
import psycopg.rows
import psycopg_pool

from geoingest import config, errors

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    Record: TypeAlias = asyncpg.Record
    Connection: TypeAlias = asyncpg.Connection[Record] | PoolConnectionProxy[Record]
    Pool: TypeAlias = asyncpg.Pool[Record]

DirectConnection: TypeAlias = psycopg.Connection[dict[str, object]]

CONNECT_SECONDS = 3.0
# Everything that a query on the event loop may raise. InternalClientError is what a connection says
# that was told of a shutdown while it lay idle.
DRIVER_ERRORS = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)
_DIRECT: dict[str, Any] = {
    "autocommit": True,
    "connect_timeout": int(CONNECT_SECONDS),
    "row_factory": psycopg.rows.dict_row,
    "cursor_factory": psycopg.RawCursor,
    "application_name": "geoingest",
}
# The server says "not now" or "not me", so the connection is of no more use: 08 connection,
# 25006 read-only (a demoted primary), 57P0x shut down, crashed, starting, 53300 too many.
_AWAY = ("08", "25006", "57P0", "53300")
# Read-only, or recovery is in progress: a demoted primary.
_STANDBY = ("25006", "55000")
# Another transaction was in the way; the same statement may succeed at once.
_TRANSIENT = ("40001", "40P01", "55P03")


@functools.cache
def queries() -> Mapping[str, str]:
    """Every query of sql/queries by its `-- name:`."""
    found: dict[str, str] = {}
    for path in sorted((config.sql_folder() / "queries").glob("*.sql")):
        for part in re.split(r"^-- name: ", path.read_text(), flags=re.MULTILINE)[1:]:
            name, _, text = part.partition("\n")
            # Comments stay in the file: they would only be sent to the server each time.
            lines = [line for line in text.splitlines() if not line.startswith("--")]
            found[name.strip()] = "\n".join(lines).strip().rstrip(";")
    return found


class Server(NamedTuple):
    """One of the servers that a URL names; without a host the URL says it all."""

    host: str | None = None
    port: int | None = None


def servers(url: str) -> list[Server]:
    """Every server that a URL names; ValueError when its ports do not match its hosts."""
    named = psycopg.conninfo.conninfo_to_dict(url)
    hosts = str(named.get("host") or "").split(",")
    ports = str(named.get("port") or "").split(",")
    if len(hosts) == 1:
        return [Server()]
    if len(ports) == 1:
        ports *= len(hosts)
    return [Server(host, int(port or 5432)) for host, port in zip(hosts, ports, strict=True)]


def check_url(name: str, url: str) -> None:
    """SettingsError, without the URL's password, for what both drivers would choke on."""
    problem = "it starts with postgresql://"
    if url.startswith(("postgresql://", "postgres://")):
        try:
            servers(url)
        except (psycopg.ProgrammingError, ValueError) as exc:
            problem = str(exc).strip()
        else:
            return
    raise errors.SettingsError(f"{name} is not the URL of a PostgreSQL: {problem}")


@contextlib.contextmanager
def direct(url: str) -> Iterator[DirectConnection]:
    """A synchronous connection for schema work and commands; DatabaseAwayError when there is none."""
    try:
        connection = psycopg.connect(url, **_direct_options(url))
    except psycopg.OperationalError as exc:
        raise errors.DatabaseAwayError(
            "the database cannot be reached: start it, or set DATABASE_URL"
        ) from exc
    with connection:
        _for_long_work(connection)
        yield connection


@contextlib.asynccontextmanager
async def asking(pool: Pool) -> AsyncIterator[Connection]:
    """A pooled connection; DatabaseUnavailableError where there is none, or it is lost."""
    try:
        async with pool.acquire(timeout=CONNECT_SECONDS) as connection:
            yield connection
    except DRIVER_ERRORS as exc:
        if is_away(exc) or is_transient(exc):
            raise errors.DatabaseUnavailableError from exc
        raise


def direct_pool(url: str) -> psycopg_pool.ConnectionPool[DirectConnection]:
    """Such connections for a process that runs for months: each is checked before it is handed out."""
    return psycopg_pool.ConnectionPool(
        url,
        min_size=0,
        max_size=1,
        open=True,
        timeout=CONNECT_SECONDS,
        check=psycopg_pool.ConnectionPool.check_connection,
        configure=_for_long_work,
        kwargs=_direct_options(url),
    )


def _direct_options(url: str) -> dict[str, Any]:
    # A single server is taken as it is: what it refuses, it explains better itself.
    several = len(servers(url)) > 1
    return {**_DIRECT, "target_session_attrs": "read-write"} if several else _DIRECT


def _for_long_work(connection: DirectConnection) -> None:
    # It takes as long as it takes; but a wait for a lock would block the phones behind it.
    connection.execute("SET statement_timeout = 0")
    connection.execute("SET lock_timeout = '5s'")


def one(cursor: psycopg.Cursor[dict[str, Any]]) -> dict[str, Any]:
    """The row of a query that always gives one; its values are the driver's."""
    row = cursor.fetchone()
    assert row is not None, "the query always gives a row"  # noqa: S101  # for the type checker
    return row


def is_away(exc: BaseException) -> bool:
    """True when the connection or the server is gone, so that a new connection may help."""
    if isinstance(exc, asyncpg.PostgresError):
        return (exc.sqlstate or "").startswith(_AWAY)
    return isinstance(exc, DRIVER_ERRORS)


def is_standby(exc: BaseException) -> bool:
    """True when a server that should be the primary says that it is not."""
    return isinstance(exc, asyncpg.PostgresError) and (exc.sqlstate or "") in _STANDBY


def is_transient(exc: BaseException) -> bool:
    """True when the same statement may succeed on the same connection."""
    return isinstance(exc, asyncpg.PostgresError) and (exc.sqlstate or "") in _TRANSIENT


def sqlstate(exc: BaseException) -> str:
    """What may be logged of a driver's error: its text can hold a row."""
    return getattr(exc, "sqlstate", None) or type(exc).__name__
