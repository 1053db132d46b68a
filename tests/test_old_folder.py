"""A data folder from before the roles, in which one role owned everything and served, goes on working."""

from __future__ import annotations

import contextlib
import datetime
import logging
import pathlib
from collections.abc import Iterator

import psycopg
import pytest

from geoingest import config, db
from geoingest.access import provision
from geoingest.lifecycle import migrations
from geoingest.local import cluster, roles
from tests import clusters, conftest

FORMER = "geoingest"
NOW = datetime.datetime.now(datetime.UTC)
# As its folder was made.
_MEMBERS = f"GRANT pg_monitor, pg_signal_backend TO {FORMER}"
_REPLAY = "pg_wal_replay_pause(), pg_wal_replay_resume()"
_POWERS = (
    "SELECT pg_has_role($1::name, 'pg_monitor', 'MEMBER'),"
    " pg_has_role($1::name, 'pg_signal_backend', 'MEMBER'),"
    " has_function_privilege($1::name, 'pg_wal_replay_pause()', 'EXECUTE')"
)


def _make_old(servers: cluster.Cluster) -> str:
    """Takes the roles out of an empty database again; where its one role connects."""
    admin = servers.url(cluster.PRIMARY_PORT, user="postgres")
    with psycopg.connect(admin, autocommit=True) as connection:
        for role in roles.ALL[1:]:
            connection.execute(f"DROP ROLE {role}".encode())
        for statement in (
            f"ALTER ROLE {roles.OWNER} RENAME TO {FORMER}",
            f"ALTER ROLE {FORMER} RESET ALL",
            f"ALTER ROLE {FORMER} CONNECTION LIMIT -1",
            _MEMBERS,
            f"GRANT EXECUTE ON FUNCTION {_REPLAY} TO {FORMER}",
        ):
            connection.execute(statement.encode())
    return servers.url(cluster.PRIMARY_PORT, user=FORMER)


def _fill(url: str) -> provision.Enrolled:
    """A student with a position."""
    with db.direct(url) as connection, connection.transaction():
        (one,) = provision.bulk(connection, 1)
        connection.execute(
            'INSERT INTO geolocation_data (student_id, "timestamp", device_id, latitude, longitude,'
            " received_at) VALUES ($1, now(), $2, 1.5, 2.5, now())",
            [one.student_id, one.device_id],
        )
    return one


@contextlib.contextmanager
def _started(path: pathlib.Path) -> Iterator[cluster.Cluster]:
    """Both servers of a folder, as `geoingest up` starts them."""
    made = clusters.servers(path)
    try:
        made.start(conftest.SERVER_SETTINGS)
        yield made
    finally:
        made.stop()


async def _asked(
    start: conftest.Start, servers: cluster.Cluster, student: provision.Enrolled
) -> dict[str, object]:
    """Where the student is, by a service in the roles of this folder."""
    settings = config.Config(
        database_url=servers.urls.ingest,
        database_read_url=servers.urls.read,
        database_replica_url=servers.urls.replica,
        port=0,
        admin_port=0,
    )
    running = await start(settings)
    headers = {"Authorization": f"Bearer {student.viewer_token}"}
    path = f"/v1/students/{student.student_id}/location"
    async with running.client.get(path, headers=headers) as answer:
        found: dict[str, object] = await answer.json()
    return found


async def test_a_folder_from_before_the_roles_is_carried_over(
    start: conftest.Start, caplog: pytest.LogCaptureFixture
) -> None:
    """What was there is there, its owner may no more than an owner needs, and the service has roles of its own."""
    with clusters.folder() as path:
        with _started(path) as old:
            url = _make_old(old)
            with caplog.at_level(logging.WARNING):
                migrations.run(url, detail_days=90, now=NOW)
            student = _fill(url)

        with _started(path) as new:
            made = migrations.run(new.urls.owner, detail_days=90, now=NOW)
            found = clusters.database(new).administer(_POWERS, roles.OWNER)
        with _started(path) as again:
            location = await _asked(start, again, student)

    assert "roles.sql" in caplog.text
    assert made == []
    assert found == [(False, False, False)]
    assert (location["latitude"], location["longitude"]) == (1.5, 2.5)
