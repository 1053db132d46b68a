"""A table of notes in a cluster: written on the primary, looked for on the replica."""

from __future__ import annotations

import psycopg

from geoingest.local import cluster
from tests import conftest

_REPLAY_SECONDS = 20.0


def query(servers: cluster.Cluster, port: int, statement: str) -> list[tuple[object, ...]]:
    """Runs a statement as superuser on one of the servers and returns its rows."""
    with psycopg.connect(servers.url(port, user="postgres"), autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def write(servers: cluster.Cluster, words: str) -> None:
    """One more note, committed on the primary."""
    port = cluster.PRIMARY_PORT
    query(servers, port, "CREATE TABLE IF NOT EXISTS notes (words text)")
    query(servers, port, f"INSERT INTO notes VALUES ('{words}')")  # noqa: S608  # a test's words


def on(servers: cluster.Cluster, port: int) -> set[str]:
    """The notes that a server has; none before the table has reached it."""
    try:
        return {str(words) for (words,) in query(servers, port, "SELECT words FROM notes")}
    except psycopg.errors.UndefinedTable:
        return set()


async def replayed(servers: cluster.Cluster, words: str) -> None:
    """Returns once the replica has a note."""
    await conftest.until(
        lambda: words in on(servers, cluster.REPLICA_PORT), seconds=_REPLAY_SECONDS
    )
