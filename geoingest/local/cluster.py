"""A primary and its streaming replica on this machine, made once and started each time."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import os
import pathlib
import secrets
import shutil
import subprocess
import tempfile
import urllib.parse
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import psycopg
from psycopg import sql

from geoingest import config, errors
from geoingest.local import account, binaries, memory, server

log = logging.getLogger(__name__)

USER = "geoingest"
DATABASE = "geoingest"
SLOT = "geoingest_replica"
# Only names of sockets in our own folder; nothing listens on TCP.
PRIMARY_PORT = 5432
REPLICA_PORT = 5433
# The kernel's limit of a socket's path, with room for /.s.PGSQL.5432.
_LONGEST_SOCKET_FOLDER = 90
# What the operator of the embedded database may do beside owning it.
_GRANTS = (
    "GRANT pg_monitor, pg_signal_backend TO geoingest",
    "GRANT EXECUTE ON FUNCTION pg_wal_replay_pause(), pg_wal_replay_resume() TO geoingest",
)


class Urls(NamedTuple):
    """Where the databases answer."""

    primary: str
    replica: str


class Cluster:
    """The two servers of a data folder."""

    def __init__(self, folder: pathlib.Path, *, postgres_bin: pathlib.Path | None = None) -> None:
        self._folder = folder
        self._owner = account.choose(folder)
        account.prepare(folder, self._owner)
        self._programs = binaries.find(folder, self._owner, postgres_bin)
        self._sockets = _socket_folder(folder, self._owner)
        self._password = _password(folder)
        self.primary = self._server("primary", PRIMARY_PORT)
        self.replica = self._server("replica", REPLICA_PORT)

    @property
    def urls(self) -> Urls:
        """Addresses of the service's own role."""
        return Urls(self.url(PRIMARY_PORT), self.url(REPLICA_PORT))

    @property
    def version(self) -> str:
        """What the programs say of themselves."""
        return self._owner.run(self._programs / "postgres", "--version").strip()

    def url(self, port: int, *, user: str = USER, database: str = DATABASE) -> str:
        """A URL that psql, asyncpg and psycopg all understand."""
        where = urllib.parse.urlencode({"host": str(self._sockets), "port": port}, safe="/")
        return f"postgresql://{user}:{self._password}@/{database}?{where}"

    def start(self, settings: Mapping[str, str], *, with_replica: bool = True) -> None:
        """Starts both, making whichever is not there yet."""
        self._make_primary()
        self.primary.start(settings, self._admin_url(PRIMARY_PORT))
        self._make_database()
        if with_replica:
            self.start_replica(settings)

    def start_replica(self, settings: Mapping[str, str]) -> None:
        """Starts the replica; one that cannot follow any more is made anew from the primary."""
        conninfo = (
            f"user=postgres passfile='{self._passfile()}' host='{self._sockets}'"
            f" port={PRIMARY_PORT} application_name=geoingest_replica"
        )
        following = {
            **settings,
            "primary_conninfo": conninfo,
            "primary_slot_name": SLOT,
            "hot_standby": "on",
        }
        address = self._admin_url(REPLICA_PORT)
        if not self._slot_is_usable():
            shutil.rmtree(self.replica.data, ignore_errors=True)
        self._make_replica()
        self.replica.start(following, address)

    def look(self, settings: Mapping[str, str]) -> None:
        """Starts again whichever server has ended by itself."""
        if self.primary.exit_code is not None:
            log.warning("the primary ended and is started again")
            self.primary.start(settings, self._admin_url(PRIMARY_PORT))
        if self.replica.exit_code is not None:
            log.warning("the replica ended and is started again")
            self.start_replica(settings)

    def stop(self) -> None:
        """The primary first: its last WAL then still reaches the replica."""
        self.primary.stop()
        self.replica.stop()

    def _admin_url(self, port: int) -> str:
        return self.url(port, user="postgres", database="postgres")

    def _server(self, name: str, port: int) -> server.Server:
        return server.Server(
            self._folder / name,
            programs=self._programs,
            owner=self._owner,
            socket_folder=self._sockets,
            port=port,
        )

    def _make_primary(self) -> None:
        data = self.primary.data
        if (data / "PG_VERSION").exists():
            self._check_version(data)
            return
        log.info("making the primary", extra={"folder": data})
        with _finished_or_gone(data, self._owner) as making, _secret(self._password) as secret:
            self._owner.own(secret)
            self._run(
                "initdb",
                *("--pgdata", making),
                *("--username", "postgres"),
                *("--pwfile", secret),
                *("--auth", "scram-sha-256"),
                *("--encoding", "UTF8"),
                *("--locale", "C"),
                "--data-checksums",
            )

    def _check_version(self, data: pathlib.Path) -> None:
        made_by = (data / "PG_VERSION").read_text().strip()
        if f" {made_by}." not in self.version:
            raise errors.LocalError(
                f"{data} was made by PostgreSQL {made_by}, and this is {self.version}:"
                " name the old one with --postgres-bin DIR, or use another GEOINGEST_DATA_DIR"
            )

    def _make_database(self) -> None:
        address = self._admin_url(PRIMARY_PORT)
        with psycopg.connect(address, autocommit=True) as connection:
            found = connection.execute("SELECT FROM pg_database WHERE datname = %s", [DATABASE])
            if found.fetchone() is None:
                role, password = sql.Identifier(USER), sql.Literal(self._password)
                with contextlib.suppress(psycopg.errors.DuplicateObject):
                    connection.execute(
                        sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, password)
                    )
                connection.execute(
                    sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(DATABASE), role)
                )
            slot = connection.execute(
                "SELECT FROM pg_replication_slots WHERE slot_name = %s", [SLOT]
            )
            if slot.fetchone() is None:
                connection.execute("SELECT pg_create_physical_replication_slot(%s, true)", [SLOT])
        address = self.url(PRIMARY_PORT, user="postgres")
        with psycopg.connect(address, autocommit=True) as connection:
            for grant in _GRANTS:
                connection.execute(grant.encode())

    def _slot_is_usable(self) -> bool:
        """False when the primary has thrown away WAL that the replica still needed."""
        address = self._admin_url(PRIMARY_PORT)
        with psycopg.connect(address, autocommit=True) as connection:
            row = connection.execute(
                "SELECT wal_status FROM pg_replication_slots WHERE slot_name = %s", [SLOT]
            ).fetchone()
            if row is None or row[0] != "lost":
                return True
            log.warning("the replica was away for too long and is made anew")
            connection.execute("SELECT pg_drop_replication_slot(%s)", [SLOT])
            connection.execute("SELECT pg_create_physical_replication_slot(%s, true)", [SLOT])
        return False

    def _make_replica(self) -> None:
        data = self.replica.data
        if (data / "PG_VERSION").exists():
            return
        log.info("making the replica", extra={"folder": data})
        with _finished_or_gone(data, self._owner) as making:
            self._run(
                "pg_basebackup",
                *("--pgdata", making),
                *("--host", self._sockets),
                *("--port", str(PRIMARY_PORT)),
                *("--username", "postgres"),
                *("--slot", SLOT),
                *("--checkpoint", "fast"),
                *("--wal-method", "stream"),
                environment={"PGPASSWORD": self._password},
            )
            signal_file = making / "standby.signal"
            signal_file.touch()
            self._owner.own(signal_file)

    def _passfile(self) -> pathlib.Path:
        """The password for the replica's connection: on the command line every user could read it."""
        path = self._folder / "replica.pgpass"
        path.unlink(missing_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(f"*:*:*:postgres:{self._password}\n")
        self._owner.own(path)
        return path

    def _run(
        self,
        program: str,
        *arguments: str | pathlib.Path,
        environment: dict[str, str] | None = None,
    ) -> None:
        try:
            self._owner.run(self._programs / program, *arguments, environment=environment)
        except subprocess.CalledProcessError as exc:
            raise errors.LocalError(f"{program} failed: {exc.stderr.strip()}") from exc


@contextlib.contextmanager
def only_one(folder: pathlib.Path) -> Iterator[None]:
    """Holds the data folder for the block; LocalError when another `geoingest up` has it."""
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    with (folder / "up.lock").open("a") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise errors.LocalError(
                f"geoingest is already up on {folder}; for a second one set GEOINGEST_DATA_DIR,"
                " GEOINGEST_PORT and GEOINGEST_ADMIN_PORT"
            ) from exc
        yield


def write_urls(folder: pathlib.Path, urls: Urls) -> pathlib.Path:
    """urls.env, readable to us alone: the other commands find the databases by it."""
    path = folder / config.URLS_FILE
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(f"DATABASE_URL={urls.primary}\n")
        file.write(f"DATABASE_REPLICA_URL={urls.replica}\n")
        file.write(f"DATABASE_DIRECT_URL={urls.primary}\n")
    return path


def settings_for_this_machine() -> memory.Settings:
    """What `geoingest up` starts both servers with."""
    return memory.settings(memory.available())


def _password(folder: pathlib.Path) -> str:
    path = folder / "password"
    if not path.exists():
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(24))
    return path.read_text()


def _socket_folder(folder: pathlib.Path, owner: account.Account) -> pathlib.Path:
    """Beside the data; where that path is longer than a socket's may be, in the temporary folder."""
    sockets = folder / "run"
    if len(str(sockets)) > _LONGEST_SOCKET_FOLDER:
        word = hashlib.sha256(str(folder).encode()).hexdigest()[:12]
        sockets = pathlib.Path(tempfile.gettempdir()) / f"geoingest-{word}"
    sockets.mkdir(mode=0o700, exist_ok=True)
    if sockets.stat().st_uid not in {os.geteuid(), owner.uid}:
        raise errors.LocalError(f"{sockets} belongs to another user; remove it")
    owner.own(sockets)
    return sockets


@contextlib.contextmanager
def _finished_or_gone(data: pathlib.Path, owner: account.Account) -> Iterator[pathlib.Path]:
    """A folder that gets its name only once it is whole, so that a killed start leaves no half one."""
    making = data.with_suffix(".making")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(mode=0o700)
    owner.own(making)
    yield making
    making.rename(data)


@contextlib.contextmanager
def _secret(text: str) -> Iterator[pathlib.Path]:
    """A file with the password for as long as initdb reads it."""
    with tempfile.NamedTemporaryFile("w", suffix=".pw") as file:
        file.write(text)
        file.flush()
        yield pathlib.Path(file.name)
