"""The embedded primary and replica: made once, found again, and on their feet after any end."""

from __future__ import annotations

import os
import pathlib
import re
import shutil
import signal
import tempfile
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from geoingest.local import cluster
from tests import clusters, conftest, notes, trees

_KILOBYTES = {"kB": 1, "MB": 1024, "GB": 1024**2}


class Made(NamedTuple):
    """The servers of this file, and every command line that was seen while they were made."""

    servers: cluster.Cluster
    path: pathlib.Path
    settings: dict[str, str]
    command_lines: set[str]


@pytest.fixture(scope="module")
def made() -> Iterator[Made]:
    """Servers with the operator's settings, in a folder whose name is too long for a socket.

    Earlier attempts to make them were killed half way.
    """
    with clusters.folder() as outer:
        path = outer / ("long-" * 20)
        for name in ("primary.making", "replica.making"):
            (path / name).mkdir(parents=True)
            (path / name / "PG_VERSION").write_text("half")
        settings = cluster.settings_for_this_machine().values
        servers = clusters.servers(path)
        try:
            with trees.watched() as seen:
                servers.start(settings)
            yield Made(servers, path, settings, seen)
        finally:
            servers.stop()
            shutil.rmtree(_sockets(servers))


@pytest.fixture
def servers(made: Made) -> cluster.Cluster:
    """Both servers up, whatever the test before did to them."""
    for one in (made.servers.primary, made.servers.replica):
        if one.pid is None or one.exit_code is not None:
            made.servers.start(made.settings)
            break
    return made.servers


def _sockets(servers: cluster.Cluster) -> pathlib.Path:
    (host,) = re.findall(r"host=([^&]+)", servers.urls.owner)
    return pathlib.Path(host)


def test_half_made_directories_are_made_again(made: Made, servers: cluster.Cluster) -> None:
    """What a killed initdb or pg_basebackup left is thrown away, and nothing of it stays."""
    assert (made.path / "primary" / "PG_VERSION").read_text() != "half"
    assert not list(made.path.glob("*.making"))


def test_the_password_stands_in_no_command_line(made: Made, servers: cluster.Cluster) -> None:
    """Neither while the servers are made nor later can another user read it with ps."""
    password = (made.path / "password").read_text()
    seen = made.command_lines | set(trees.command_lines().values())

    # They were looked at: each program that is given the password is among them.
    for program in ("initdb", "pg_basebackup", "primary_conninfo"):
        assert any(program in line for line in seen)
    assert not [line for line in seen if password in line]


def test_nothing_listens_on_tcp(servers: cluster.Cluster) -> None:
    """Both servers are reached by a unix socket alone."""
    inodes = set[str]()
    for server in (servers.primary, servers.replica):
        assert server.pid is not None
        for one in trees.tree(server.pid):
            inodes |= trees.sockets(one.pid)

    assert inodes & trees.listening("unix")
    assert not inodes & (trees.listening("tcp") | trees.listening("tcp6"))


def test_a_path_too_long_for_a_socket_falls_back(made: Made, servers: cluster.Cluster) -> None:
    """The sockets are in a private folder below the temporary one instead."""
    sockets = _sockets(servers)

    assert len(str(made.path)) > 100
    assert sockets.parent == pathlib.Path(tempfile.gettempdir())
    assert sockets.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("port", [cluster.PRIMARY_PORT, cluster.REPLICA_PORT])
def test_the_settings_of_the_operator_are_in_force(
    made: Made, servers: cluster.Cluster, port: int
) -> None:
    """SHOW answers what sql/postgresql.conf says, and fsync and synchronous_commit are on."""
    shown = {name: notes.query(servers, port, f"SHOW {name}")[0][0] for name in made.settings}

    assert {name: _number(str(value)) for name, value in shown.items()} == {
        name: _number(value) for name, value in made.settings.items()
    }
    assert (shown["fsync"], shown["synchronous_commit"]) == ("on", "on")


async def test_the_replica_streams(servers: cluster.Cluster) -> None:
    """What is written on the primary is read on the replica, which is a standby on its slot."""
    notes.write(servers, "streamed")

    await notes.replayed(servers, "streamed")
    assert notes.query(servers, cluster.REPLICA_PORT, "SELECT pg_is_in_recovery()") == [(True,)]
    slots = notes.query(servers, cluster.PRIMARY_PORT, "SELECT active FROM pg_replication_slots")
    assert slots == [(True,)]


async def test_a_restart_finds_the_same_servers(made: Made, servers: cluster.Cluster) -> None:
    """They are made once: stopped and started, both have what they had."""
    notes.write(servers, "before the restart")
    identifier = "SELECT system_identifier FROM pg_control_system()"
    before = notes.query(servers, cluster.PRIMARY_PORT, identifier)

    servers.stop()
    servers.start(made.settings)

    assert notes.query(servers, cluster.PRIMARY_PORT, identifier) == before
    await notes.replayed(servers, "before the restart")


async def test_a_kill_9_of_all_is_recovered_from(made: Made, servers: cluster.Cluster) -> None:
    """Postmasters and children die in the middle: the next start has all that was committed."""
    notes.write(servers, "before the kill")

    for one in (servers.primary, servers.replica):
        await clusters.crash(one, signal.SIGKILL)
    servers.start(made.settings)
    notes.write(servers, "after the kill")

    assert "before the kill" in notes.on(servers, cluster.PRIMARY_PORT)
    await notes.replayed(servers, "after the kill")


async def test_servers_that_end_by_themselves_are_started_again(
    made: Made, servers: cluster.Cluster
) -> None:
    """Postmasters are killed and their children are not: a look after them brings both back."""
    for one in (servers.primary, servers.replica):
        assert one.pid is not None
        os.kill(one.pid, signal.SIGKILL)
    await conftest.until(lambda: None not in {servers.primary.exit_code, servers.replica.exit_code})
    servers.look(made.settings)
    notes.write(servers, "after a look")

    await notes.replayed(servers, "after a look")


async def test_a_leftover_of_a_killed_run_is_stopped(made: Made, servers: cluster.Cluster) -> None:
    """Servers whose `geoingest up` was killed still run: the next one stops them and starts its own."""
    notes.write(servers, "by the first run")
    leftovers = {servers.primary.pid, servers.replica.pid}

    following = clusters.servers(made.path)
    following.start(made.settings)
    try:
        assert servers.primary.exit_code == servers.replica.exit_code == 0
        assert leftovers.isdisjoint({following.primary.pid, following.replica.pid})
        await notes.replayed(following, "by the first run")
    finally:
        following.stop()


async def test_a_replica_that_was_away_for_too_long_is_made_anew(
    made: Made, servers: cluster.Cluster
) -> None:
    """Its slot has lost WAL that it needs: it becomes a fresh copy of the primary."""
    servers.stop()
    few = {"max_slot_wal_keep_size": "16MB", "max_wal_size": "32MB", "min_wal_size": "32MB"}
    servers.start({**made.settings, **few}, with_replica=False)
    for number in range(4):
        notes.write(servers, f"while the replica is away {number}")
        notes.query(servers, cluster.PRIMARY_PORT, "SELECT pg_switch_wal()")
    notes.query(servers, cluster.PRIMARY_PORT, "CHECKPOINT")
    slots = "SELECT wal_status FROM pg_replication_slots"
    assert notes.query(servers, cluster.PRIMARY_PORT, slots) == [("lost",)]

    servers.start_replica(made.settings)

    await notes.replayed(servers, "while the replica is away 3")


def _number(value: str) -> object:
    """The same for 1GB and 1024MB."""
    match = re.fullmatch(r"(\d+)(kB|MB|GB)", value)
    return int(match[1]) * _KILOBYTES[match[2]] if match else value
