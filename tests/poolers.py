"""A real PgBouncer in transaction mode, in front of one server of a cluster."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time
import urllib.parse
from collections.abc import Iterator

import pytest
from typing_extensions import override

from geoingest import config
from geoingest.local import cluster, roles
from tests import conftest, processes

POOL_SIZE = 50
MOST_CLIENTS = 1000
_START_SECONDS = 20.0
# Debian puts it where only root looks.
_PROGRAM = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")

needed = pytest.mark.skipif(
    _PROGRAM is None,
    reason="NOT TESTED: nothing was sent through a pooler, because pgbouncer is not installed",
)


class Bouncer:
    """Where it listens; every database of its server is behind it under the same name."""

    def __init__(self, servers: cluster.Cluster, folder: pathlib.Path, port: int) -> None:
        self.port = port
        self._servers = servers
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, url: str) -> str:
        """The way through the pooler to what this URL leads to."""
        parts = urllib.parse.urlsplit(url)
        here = f"{parts.netloc.rpartition('@')[0]}@127.0.0.1:{self.port}"
        return urllib.parse.urlunsplit((parts.scheme, here, parts.path, "", ""))

    @contextlib.contextmanager
    def running(self, server_port: int) -> Iterator[None]:
        """Leads to the server of this port for as long as the block lasts."""
        assert _PROGRAM is not None
        self._configure(server_port)
        log = self._folder / "log"
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [_PROGRAM, str(self._folder / "pgbouncer.ini")],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd="/",
                **self._servers.primary._owner.credentials(),  # type: ignore[call-overload]  # user
            )
        try:
            _wait_until_it_listens(self._process, self.port, log)
            yield
        finally:
            self._process.terminate()
            self._process.wait()

    def lead_to(self, server_port: int) -> None:
        """To another server from now on, under the connections that clients have."""
        assert self._process is not None
        self._configure(server_port)
        self._process.send_signal(signal.SIGHUP)

    def _configure(self, server_port: int) -> None:
        servers, users = self._servers, self._folder / "users"
        names = (*roles.ALL, "postgres")
        users.write_text("".join(f'"{name}" "{servers._password}"\n' for name in names))
        configuration = self._folder / "pgbouncer.ini"
        configuration.write_text(f"""[databases]
* = host={servers._sockets} port={server_port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {self.port}
unix_socket_dir =
; Hundreds of logins at once would keep a small machine busy with passwords; the server still wants one.
auth_type = trust
auth_file = {users}
pool_mode = transaction
default_pool_size = {POOL_SIZE}
max_client_conn = {MOST_CLIENTS}
; A statement that was prepared on one session is looked for on another: nobody is lucky for long.
server_round_robin = 1
server_login_retry = 1
""")
        for path in (users, configuration):
            servers.primary._owner.own(path)


@contextlib.contextmanager
def in_front_of(servers: cluster.Cluster, port: int) -> Iterator[Bouncer]:
    """PgBouncer before the server of this port, with its files beside the server's own."""
    (here,) = processes.free_ports(1)
    folder = servers._path / f"pgbouncer-{here}"
    folder.mkdir(mode=0o700)
    servers.primary._owner.own(folder)
    bouncer = Bouncer(servers, folder, here)
    try:
        with bouncer.running(port):
            yield bouncer
    finally:
        shutil.rmtree(folder)


def _wait_until_it_listens(process: subprocess.Popen[bytes], port: int, log: pathlib.Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise TimeoutError(log.read_text())


def pooled(
    database: conftest.Database, primary: Bouncer, replica: Bouncer | None
) -> conftest.Database:
    """The same database, with settings that lead a service through the poolers."""
    through = {
        "pooler": "transaction",
        "database_url": primary.url(conftest.as_role(database.url, roles.INGEST)),
        "database_read_url": primary.url(conftest.as_role(database.url, roles.READ)),
        "database_replica_url": (
            replica.url(conftest.as_role(database.replica_url, roles.READ)) if replica else ""
        ),
    }

    class Pooled(conftest.Database):
        __slots__ = ()

        @override
        def settings(self, **changes: object) -> config.Config:
            return super().settings(**{**through, **changes})

    return Pooled(*database)
