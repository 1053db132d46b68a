"""A primary and its replica of a test's own, whose roles can be swapped."""

from __future__ import annotations

import contextlib
import datetime
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import psycopg

from geoingest import db
from geoingest.access import provision
from geoingest.lifecycle import migrations
from geoingest.local import cluster, server
from tests import clusters, conftest, trees
from tests import processes as commands


class Pair:
    """Two servers that know nothing of each other's roles, and a URL that names both."""

    def __init__(self, servers: cluster.Cluster) -> None:
        self.servers = servers
        first, second = cluster.PRIMARY_PORT, cluster.REPLICA_PORT
        parts = urllib.parse.urlsplit(servers.urls.owner)
        (host,) = urllib.parse.parse_qs(parts.query)["host"]
        both = f"host={host},{host}&port={first},{second}"
        self.url = urllib.parse.urlunsplit(parts._replace(query=both))
        self._host = host

    @property
    def environment(self) -> dict[str, str]:
        """Every setting names both: no command is told which is which."""
        return commands.ways(self.url, replica_url=self.url)

    @property
    def settings(self) -> dict[str, Any]:
        """The same for a service in this process."""
        urls = {name.lower(): url for name, url in self.environment.items()}
        return {**urls, "port": 0, "admin_port": 0}

    def database(self, port: int) -> conftest.Database:
        """What one of the two has."""
        admin = self.servers.url(port, user="postgres")
        return conftest.Database(self.servers.url(port), "", admin)

    def query(self, port: int, statement: str) -> list[tuple[object, ...]]:
        """Runs a statement as superuser on one of the two; it waits for no standby."""
        with psycopg.connect(self.servers.url(port, user="postgres"), autocommit=True) as one:
            one.execute("SET synchronous_commit = local")
            cursor = one.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def use_numbers(self, port: int, count: int) -> None:
        """So many transactions that change nothing."""
        with psycopg.connect(self.servers.url(port, user="postgres"), autocommit=True) as one:
            for _ in range(count):
                one.execute("SELECT pg_current_xact_id()")

    def wait_for_standby(self) -> None:
        """Quorum mode, as an operator puts it in force on the running primary."""
        names = "ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (*)'"
        self.query(cluster.PRIMARY_PORT, names)
        self.query(cluster.PRIMARY_PORT, "SELECT pg_reload_conf()")

    def promote(self) -> None:
        """The replica takes writes from now on; returns when it does."""
        self.query(cluster.REPLICA_PORT, "SELECT pg_promote()")

    def demote(self) -> None:
        """The old primary starts as a standby of the other, or of nobody while that is none itself."""
        old = self.servers.primary
        signal_file = old.data / "standby.signal"
        signal_file.touch()
        self.servers._owner.own(signal_file)
        following = {
            **conftest.SERVER_SETTINGS,
            "primary_conninfo": f"user=postgres passfile='{old.data.with_name('replica.pgpass')}'"
            f" host='{self._host}' port={cluster.REPLICA_PORT}",
            # Else it looks for the new timeline every five seconds.
            "wal_retrieve_retry_interval": "200ms",
        }
        old.start(following, self.servers.url(cluster.PRIMARY_PORT, user="postgres"))


@contextlib.contextmanager
def running(settings: Mapping[str, str] = conftest.SERVER_SETTINGS) -> Iterator[Pair]:
    """A migrated primary with its replica, ended together with all that hang."""
    with clusters.folder() as path:
        made = clusters.servers(path)
        try:
            made.start(settings)
            now = datetime.datetime.now(datetime.UTC)
            migrations.run(made.urls.owner, detail_days=90, now=now)
            yield Pair(made)
        finally:
            made.stop()


def school(pair: Pair, students: int) -> list[provision.Enrolled]:
    """Students who are known to both servers."""
    with db.direct(pair.servers.urls.owner) as connection, connection.transaction():
        enrolled = provision.bulk(connection, students)
    position = pair.query(cluster.PRIMARY_PORT, "SELECT pg_current_wal_lsn()::text")[0][0]
    behind = f"SELECT pg_last_wal_replay_lsn() < '{position}'"
    while pair.query(cluster.REPLICA_PORT, behind) == [(True,)]:
        pass
    return enrolled


def processes(one: server.Server, name: str = "") -> Sequence[trees.Running]:
    """A server's processes, or those of this name."""
    assert one.pid is not None
    commands = trees.command_lines()
    return [each for each in trees.tree(one.pid) if name in commands.get(each.pid, "")]
