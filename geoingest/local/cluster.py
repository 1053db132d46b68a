"""A primary and its streaming replica on this machine, made once and started each time."""

from __future__ import annotations

import contextlib
import logging
import pathlib
import shutil
import time
import urllib.parse
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import psycopg
from psycopg import sql

from geoingest import errors
from geoingest.local import account, binaries, datadir, folder, memory, roles, server

log = logging.getLogger(__name__)

DATABASE = "geoingest"
SLOT = "geoingest_replica"
# Only names of sockets in our own folder; nothing listens on TCP.
PRIMARY_PORT = 5432
REPLICA_PORT = 5433
_PAUSE_SECONDS = 1.0


class Urls(NamedTuple):
    """Where the databases answer, to each of the roles; the first four are the primary."""

    owner: str
    jobs: str
    ingest: str
    read: str
    # As the role that reads.
    replica: str


class Cluster:
    """The two servers of a data folder."""

    def __init__(self, path: pathlib.Path, *, postgres_bin: pathlib.Path | None = None) -> None:
        self._path = path.absolute()
        self._owner = account.choose(self._path)
        account.prepare(self._path, self._owner)
        self._programs = datadir.Programs(
            binaries.find(self._path, self._owner, postgres_bin), self._owner
        )
        self._sockets = folder.sockets(self._path, self._owner)
        self._password = folder.password(self._path)
        self.primary = self._server("primary", PRIMARY_PORT)
        self.replica = self._server("replica", REPLICA_PORT)

    @property
    def urls(self) -> Urls:
        """Addresses for each role."""
        return Urls(
            owner=self.url(PRIMARY_PORT),
            jobs=self.url(PRIMARY_PORT, user=roles.JOBS),
            ingest=self.url(PRIMARY_PORT, user=roles.INGEST),
            read=self.url(PRIMARY_PORT, user=roles.READ),
            replica=self.url(REPLICA_PORT, user=roles.READ),
        )

    @property
    def programs(self) -> pathlib.Path:
        """The folder of PostgreSQL's programs."""
        return self._programs.folder

    @property
    def version(self) -> str:
        """What postgres says of itself."""
        return self._programs.version

    def url(self, port: int, *, user: str = roles.OWNER, database: str = DATABASE) -> str:
        """A URL that psql, asyncpg and psycopg all understand."""
        where = urllib.parse.urlencode({"host": str(self._sockets), "port": port}, safe="/")
        return f"postgresql://{user}:{self._password}@/{database}?{where}"

    def start(self, settings: Mapping[str, str], *, with_replica: bool = True) -> None:
        """Starts both, making whichever is not there yet."""
        if datadir.exists(self.primary.data):
            self._programs.check_version(self.primary.data)
        else:
            log.info("making the primary", extra={"folder": self.primary.data})
            self._programs.initdb(self.primary.data, password=self._password)
        self.primary.start(settings, self._admin_url(PRIMARY_PORT))
        self._make_database()
        if with_replica:
            self.start_replica(settings)

    def start_replica(self, settings: Mapping[str, str]) -> None:
        """Starts the replica; one that cannot follow any more is made anew from the primary."""
        if self._make_slot():
            shutil.rmtree(self.replica.data, ignore_errors=True)
        if not datadir.exists(self.replica.data):
            log.info("making the replica", extra={"folder": self.replica.data})
            self._programs.basebackup(
                self.replica.data,
                sockets=self._sockets,
                port=PRIMARY_PORT,
                slot=SLOT,
                password=self._password,
            )
        passfile = folder.passfile(self._path, self._owner)
        following = {
            **settings,
            "primary_conninfo": f"user=postgres passfile='{passfile}' host='{self._sockets}'"
            f" port={PRIMARY_PORT} application_name={SLOT}",
            "primary_slot_name": SLOT,
        }
        self.replica.start(following, self._admin_url(REPLICA_PORT))

    def look(self, settings: Mapping[str, str]) -> None:
        """Starts again whichever server has ended by itself; what does not start, at the next look."""
        try:
            if self.primary.exit_code is not None:
                log.warning("the primary ended and is started again")
                self.primary.start(settings, self._admin_url(PRIMARY_PORT))
            if self.replica.exit_code is not None:
                log.warning("the replica ended and is started again")
                self.start_replica(settings)
        except (errors.LocalError, psycopg.OperationalError) as exc:
            # A full disk, for one, is over when somebody has made room: until then phones get 503.
            log.warning("a server does not start yet", extra={"reason": str(exc).strip()})
            time.sleep(_PAUSE_SECONDS)

    def stop(self) -> None:
        """The primary first: its last WAL then still reaches the replica."""
        self.primary.stop()
        self.replica.stop()

    def _server(self, name: str, port: int) -> server.Server:
        return server.Server(
            self._path / name,
            programs=self._programs.folder,
            owner=self._owner,
            socket_folder=self._sockets,
            port=port,
        )

    def _admin_url(self, port: int) -> str:
        return self.url(port, user="postgres", database="postgres")

    def _make_database(self) -> None:
        with self._connected(self._admin_url(PRIMARY_PORT)) as connection:
            roles.make(connection, password=self._password)
            found = connection.execute("SELECT FROM pg_database WHERE datname = %s", [DATABASE])
            if found.fetchone() is None:
                create = sql.SQL("CREATE DATABASE {} OWNER {}")
                names = sql.Identifier(DATABASE), sql.Identifier(roles.OWNER)
                connection.execute(create.format(*names))
        with self._connected(self.url(PRIMARY_PORT, user="postgres")) as connection:
            roles.settle(connection)

    def _make_slot(self) -> bool:
        """Sees to the replica's slot; True when the primary has thrown away WAL it still needed."""
        with self._connected(self._admin_url(PRIMARY_PORT)) as connection:
            row = connection.execute(
                "SELECT wal_status FROM pg_replication_slots WHERE slot_name = %s", [SLOT]
            ).fetchone()
            lost = row is not None and row[0] == "lost"
            if lost:
                log.warning("the replica was away for too long and is made anew")
                connection.execute("SELECT pg_drop_replication_slot(%s)", [SLOT])
            if lost or row is None:
                connection.execute("SELECT pg_create_physical_replication_slot(%s, true)", [SLOT])
        return lost

    @contextlib.contextmanager
    def _connected(self, url: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
        with psycopg.connect(url, autocommit=True) as connection:
            yield connection


def settings_for_this_machine() -> memory.Settings:
    """What `geoingest up` starts both servers with."""
    return memory.settings(memory.available())
