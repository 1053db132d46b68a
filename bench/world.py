"""The databases of one measurement: embedded, fresh, migrated, gone at its end."""

from __future__ import annotations

import contextlib
import datetime
import os
import pathlib
import tempfile
from collections.abc import Iterator
from typing import NamedTuple

import click
import psycopg

from geoingest import config, db
from geoingest.access import provision
from geoingest.lifecycle import migrations
from geoingest.local import cluster

_SLOW_FUNCTION = """
CREATE FUNCTION slow_down() RETURNS trigger LANGUAGE plpgsql AS
$$BEGIN PERFORM pg_sleep(0.001); RETURN new; END$$
"""
_SLOW_TRIGGER = """
CREATE TRIGGER slow_down BEFORE INSERT ON geolocation_data
FOR EACH ROW EXECUTE FUNCTION slow_down()
"""


class World(NamedTuple):
    """Where the databases answer, and where files of the measurement may lie."""

    folder: pathlib.Path
    servers: cluster.Cluster
    # Empty when there is no replica.
    replica_url: str

    @property
    def url(self) -> str:
        """The primary, as the owner of the tables."""
        return self.servers.urls.owner

    @property
    def admin_url(self) -> str:
        """The primary, as its superuser."""
        return self.servers.url(cluster.PRIMARY_PORT, user="postgres")

    @property
    def psql(self) -> pathlib.Path:
        """The program."""
        return self.servers.programs / "psql"


@contextlib.contextmanager
def databases(*, with_replica: bool) -> Iterator[World]:
    """A primary, a replica if wanted, and the schema; with the settings of `geoingest up`."""
    with tempfile.TemporaryDirectory(prefix="geoingest-bench-") as name:
        folder = pathlib.Path(name)
        # As root the servers run as another user, who must reach the folder.
        folder.chmod(0o755)
        servers = cluster.Cluster(folder)
        click.echo(f"starting {servers.version} in {folder}", err=True)
        try:
            servers.start(_settings(), with_replica=with_replica)
            now = datetime.datetime.now(datetime.UTC)
            migrations.run(servers.urls.owner, detail_days=config.Config().detail_days, now=now)
            yield World(folder, servers, servers.urls.replica if with_replica else "")
        finally:
            servers.stop()


def add_replica(on: World) -> World:
    """The same with a replica, copied from the primary as it is now."""
    on.servers.start_replica(_settings())
    return on._replace(replica_url=on.servers.urls.replica)


def forget(on: World) -> None:
    """Stops the servers, takes their files out of the machine's memory, and starts them again."""
    on.servers.stop()
    for path in on.folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    on.servers.start(_settings(), with_replica=bool(on.replica_url))


def slow_down(on: World) -> None:
    """From now on the primary needs a millisecond more for each row, and no CPU for it."""
    with psycopg.connect(on.admin_url, autocommit=True) as admin:
        admin.execute(_SLOW_FUNCTION)
        admin.execute(_SLOW_TRIGGER)


def _settings() -> dict[str, str]:
    return cluster.settings_for_this_machine().values


def enrol(world: World, students: int) -> list[provision.Enrolled]:
    """Students with a device and a viewer each."""
    with db.direct(world.url) as connection, connection.transaction():
        return provision.bulk(connection, students)


def count_rows(world: World) -> int:
    """All pings in the table."""
    with db.direct(world.url) as connection:
        row = connection.execute("SELECT count(*) AS pings FROM geolocation_data").fetchone()
    assert row is not None, "count(*) gives a row"
    return int(str(row["pings"]))


def wal_bytes(connection: db.DirectConnection) -> int:
    """Written so far."""
    row = connection.execute("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0') AS bytes")
    return int(str(db.one(row)["bytes"]))
