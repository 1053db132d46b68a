"""A body that takes too long is given up; what only one disk knows is not confirmed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import psycopg
import pytest

from geoingest import errors
from geoingest.access import directory_import
from geoingest.bearer import Bearer
from geoingest.local import cluster
from tests import conftest, directories, loads, pairs

_STANDBYS = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'quorum'"
_END_WAIT = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"


class _Body:
    """One line; and then no end, unless it is whole."""

    def __init__(self, *, ends: bool) -> None:
        self._ends = ends
        self.is_whole = False

    async def pieces(self) -> AsyncIterator[bytes]:
        yield b'{"external_id":"held","school":"north"}\n'
        if not self._ends:
            await asyncio.Event().wait()
        self.is_whole = True


@pytest.mark.parametrize(
    ("ends", "error"), [(False, errors.BodyTimeoutError), (True, errors.DatabaseUnavailableError)]
)
async def test_what_takes_too_long_leaves_nothing(
    running: conftest.Running,
    database: conftest.Database,
    ends: bool,
    error: type[errors.HttpError],
) -> None:
    """The sender's fault while the body comes, ours behind it; the lock is free again either way."""
    directories.viewer(database, "admin", "admin")
    ((viewer_id,),) = database.query("SELECT viewer_id FROM viewers")
    database.query("INSERT INTO schools (external_id) VALUES ('north')")
    database.query("INSERT INTO students (external_id) VALUES ('held')")
    before = directories.held(database)
    imports = directory_import.Imports(running.service.connect, most_seconds=1.0)
    with psycopg.connect(database.url) as holder:
        holder.execute("SELECT FROM students WHERE external_id = 'held' FOR UPDATE")

        with pytest.raises(error):
            await imports.put("students", "ndjson", _Body(ends=ends), Bearer(int(str(viewer_id))))
    free = "SELECT pg_try_advisory_lock(4270003) AND pg_advisory_unlock(4270003)"
    await conftest.until(lambda: database.query(free) == [(True,)])

    assert directories.held(database) == before


@pytest.mark.faults
async def test_without_a_synchronous_standby_it_is_not_confirmed(start: conftest.Start) -> None:
    """Consent that is withdrawn on one disk only may come back with the other: 503, also where an operator ends the wait."""
    with pairs.running() as pair:
        database = pair.database(cluster.PRIMARY_PORT)
        running = await start(database.settings(database_replica_url=""))
        admin = directories.admin(database, running)
        pair.wait_for_standby()
        await conftest.until(lambda: pair.query(cluster.PRIMARY_PORT, _STANDBYS) == [(1,)])
        line = [{"external_id": "ann"}]

        confirmed = await admin.put("students", line)
        await asyncio.to_thread(pair.servers.replica.stop)
        put = asyncio.create_task(admin.put("students", [{"external_id": "ben"}]))
        await conftest.until(lambda: pair.query(cluster.PRIMARY_PORT, _END_WAIT) == [(True,)])
        alone = await put
        await asyncio.to_thread(pair.servers.start_replica, conftest.SERVER_SETTINGS)
        async with asyncio.timeout(loads.RESUME_SECONDS):
            while (again := await admin.put("students", line)).status != 200:
                await asyncio.sleep(0.05)

    assert (confirmed.status, alone.status) == (200, 503)
    assert again.body["unchanged"] == 1
