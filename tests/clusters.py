"""Database servers of a test's own, to be stopped, killed and started again."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import os
import pathlib
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping

from geoingest import db
from geoingest.access import provision
from geoingest.lifecycle import migrations
from geoingest.local import cluster, server
from tests import conftest, trees

_SHOWN_LETTERS = 4000


@contextlib.contextmanager
def folder() -> Iterator[pathlib.Path]:
    """An empty data folder that the servers' user can reach."""
    with tempfile.TemporaryDirectory(prefix="geoingest-test-") as name:
        path = pathlib.Path(name)
        path.chmod(0o755)
        yield path


@contextlib.contextmanager
def alone(
    settings: Mapping[str, str] = conftest.SERVER_SETTINGS,
) -> Iterator[cluster.Cluster]:
    """A running, migrated primary without a replica."""
    with folder() as path, running(path, settings) as made:
        yield made


@contextlib.contextmanager
def running(path: pathlib.Path, settings: Mapping[str, str]) -> Iterator[cluster.Cluster]:
    """The same in a folder of the caller's."""
    made = servers(path)
    try:
        made.start(settings, with_replica=False)
        now = datetime.datetime.now(datetime.UTC)
        migrations.run(made.urls.owner, detail_days=90, now=now)
        yield made
    finally:
        made.stop()
        # Shown with a test that failed.
        with contextlib.suppress(OSError):
            sys.stderr.write(made.primary.log_path.read_text()[-_SHOWN_LETTERS:])


def servers(path: pathlib.Path) -> cluster.Cluster:
    """A cluster of the PostgreSQL that this run is about."""
    postgres_bin = pathlib.Path(conftest.POSTGRES_BIN) if conftest.POSTGRES_BIN else None
    return cluster.Cluster(path, postgres_bin=postgres_bin)


def database(made: cluster.Cluster) -> conftest.Database:
    """The database that comes with a cluster; the primary answers for it."""
    admin = made.url(cluster.PRIMARY_PORT, user="postgres")
    return conftest.Database(made.urls.owner, "", admin)


def emptied(made: cluster.Cluster) -> conftest.Database:
    """The same without pings; the primary is started again where a failed test left it down."""
    if made.primary.pid is None or made.primary.exit_code is not None:
        made.start(conftest.SERVER_SETTINGS, with_replica=False)
    found = database(made)
    found.query("TRUNCATE geolocation_data, rejected_pings")
    return found


def school(found: conftest.Database, *, students: int) -> list[provision.Enrolled]:
    """A student for each phone."""
    with db.direct(found.url) as connection, connection.transaction():
        return provision.bulk(connection, students)


async def start_again(
    made: cluster.Cluster, settings: Mapping[str, str] = conftest.SERVER_SETTINGS
) -> None:
    """Returns once the primary answers, after crash recovery where it needs one."""
    await asyncio.to_thread(made.start, settings, with_replica=False)


async def crash(one: server.Server, number: signal.Signals) -> None:
    """SIGQUIT: what `pg_ctl restart -m immediate` does; SIGKILL: postmaster and all children."""
    assert one.pid is not None
    members = trees.tree(one.pid)
    if number == signal.SIGKILL:
        # First of all it must not have children that we do not know of.
        os.kill(one.pid, signal.SIGSTOP)
        members = trees.tree(one.pid)
        trees.send(members, number)
    else:
        os.kill(one.pid, number)
    await conftest.until(lambda: one.exit_code is not None and not trees.left(members))
