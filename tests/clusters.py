"""Database servers of a test's own, to be stopped, killed and started again."""

from __future__ import annotations

import contextlib
import datetime
import os
import pathlib
import signal
import tempfile
from collections.abc import Iterator

from geoingest.lifecycle import migrations
from geoingest.local import cluster, server
from tests import conftest, trees


@contextlib.contextmanager
def folder() -> Iterator[pathlib.Path]:
    """An empty data folder that the servers' user can reach."""
    with tempfile.TemporaryDirectory(prefix="geoingest-test-") as name:
        path = pathlib.Path(name)
        path.chmod(0o755)
        yield path


@contextlib.contextmanager
def alone() -> Iterator[cluster.Cluster]:
    """A running, migrated primary without a replica."""
    with folder() as path:
        made = servers(path)
        try:
            made.start(conftest.SERVER_SETTINGS, with_replica=False)
            now = datetime.datetime.now(datetime.UTC)
            migrations.run(made.urls.primary, detail_days=90, now=now)
            yield made
        finally:
            made.stop()


def servers(path: pathlib.Path) -> cluster.Cluster:
    """A cluster of the PostgreSQL that this run is about."""
    postgres_bin = pathlib.Path(conftest.POSTGRES_BIN) if conftest.POSTGRES_BIN else None
    return cluster.Cluster(path, postgres_bin=postgres_bin)


def database(made: cluster.Cluster) -> conftest.Database:
    """The database that comes with a cluster; the primary answers for it."""
    admin = made.url(cluster.PRIMARY_PORT, user="postgres")
    return conftest.Database(made.urls.primary, "", admin)


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
