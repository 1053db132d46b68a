"""`geoingest up`: one process tree that is ready, refuses a second one, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import datetime
import pathlib
import re
import signal
from collections.abc import Iterator

import aiohttp
import psycopg
import pytest

from geoingest import config
from tests import clusters, conftest, processes, trees

STOP_SECONDS = 40.0
REPLICA_SECONDS = 20.0
_CURL = re.compile(r"curl -s (\S+) -H 'Authorization: (Bearer \S+)'")


class Up(processes.Process):
    """`geoingest up` with five phones, on a data folder and free ports."""

    def __init__(self, path: pathlib.Path) -> None:
        port, admin_port = processes.free_ports(2)
        programs = ["--postgres-bin", conftest.POSTGRES_BIN] if conftest.POSTGRES_BIN else []
        super().__init__(
            *("up", "--simulate", "5", "--interval", "1", *programs),
            environment={
                "GEOINGEST_DATA_DIR": str(path),
                "GEOINGEST_PORT": str(port),
                "GEOINGEST_ADMIN_PORT": str(admin_port),
                "GEOINGEST_WORKERS": "2",
                # Where a supervisor that is killed leaves its files.
                "TMPDIR": str(path),
            },
        )

    async def ready(self) -> None:
        """Returns once it has said so, with the two curls."""
        await self.says("Ctrl-C stops everything.")
        assert "\nready\n" in self.output()

    def tree(self) -> set[trees.Running]:
        """All its processes: service, jobs, phones and both database servers."""
        return trees.tree(self.popen.pid)

    def kill_all(self) -> None:
        """kill -9 of the whole tree, before it can have children that we do not know of."""
        self.popen.send_signal(signal.SIGSTOP)
        trees.send(self.tree(), signal.SIGKILL)
        self.popen.wait()

    async def post(self) -> datetime.datetime:
        """Does as the first printed curl does; the timestamp of the stored ping."""
        url, token = _CURL.findall(self.output())[0]
        timestamp = datetime.datetime.now(datetime.UTC)
        ping = {"timestamp": timestamp.isoformat(), "latitude": 52.5163, "longitude": 13.3777}
        async with aiohttp.request("POST", url, json=ping, headers={"Authorization": token}) as got:
            assert (got.status, (await got.json())["stored"]) == (200, 1)
        return timestamp

    async def read(self) -> dict[str, object]:
        """What the second printed curl answers, once there is a position and the replica has it."""
        url, token = _CURL.findall(self.output())[1]
        async with asyncio.timeout(REPLICA_SECONDS):
            while True:
                async with aiohttp.request("GET", url, headers={"Authorization": token}) as got:
                    answer: dict[str, object] = await got.json()
                if got.status == 200 and answer["source"] == "replica":
                    return answer
                assert got.status in {200, 404}
                await asyncio.sleep(0.1)


@pytest.fixture(scope="module")
def path() -> Iterator[pathlib.Path]:
    """A data folder for all tests of this file: each `up` finds what the one before left."""
    with clusters.folder() as made:
        yield made
        # Whatever a failed test has left running.
        lines = trees.command_lines()
        for pid in (pid for pid, line in lines.items() if str(made) in line):
            trees.send(trees.tree(pid), signal.SIGKILL)


def _urls(path: pathlib.Path) -> dict[str, str]:
    lines = (path / config.URLS_FILE).read_text().splitlines()
    return dict(line.split("=", 1) for line in lines)


def _has(path: pathlib.Path, timestamp: datetime.datetime) -> bool:
    query = 'SELECT FROM geolocation_data WHERE "timestamp" = %s'
    with psycopg.connect(_urls(path)["DATABASE_DIRECT_URL"]) as connection:
        return connection.execute(query, [timestamp]).fetchone() is not None


def _is_standby(path: pathlib.Path) -> bool:
    with psycopg.connect(_urls(path)["DATABASE_REPLICA_URL"]) as connection:
        return connection.execute("SELECT pg_is_in_recovery()").fetchone() == (True,)


def _mode(path: pathlib.Path) -> int:
    return (path / config.URLS_FILE).stat().st_mode & 0o777


def _command(path: pathlib.Path, *arguments: str) -> processes.Process:
    return processes.Process(*arguments, environment={"GEOINGEST_DATA_DIR": str(path)})


async def test_ready_means_that_pings_are_posted_and_read(path: pathlib.Path) -> None:
    """The printed curls work, simulated pings come from the replica, urls.env leads others there.

    The start before was killed while it copied the replica; a second one at the same time is refused.
    """
    with Up(path) as killed:
        await killed.says("making the replica")
        killed.kill_all()

    with Up(path) as up:
        await up.ready()
        answer = await up.read()
        posted = await up.post()
        with Up(path) as second:
            refused = await second.ended(), second.output()
        with _command(path, "device", "add", "--student", "1") as other:
            added = await other.ended(), other.output()
        urls_are_there = _has(path, posted), _is_standby(path), _mode(path)
        members = up.tree()
        up.popen.send_signal(signal.SIGTERM)
        code = await up.ended(seconds=STOP_SECONDS)

    assert answer["source"] == "replica"
    assert refused[0] == 1
    assert "already up" in refused[1]
    assert added[0] == 0
    assert re.fullmatch(r"\d+\t\S+\n", added[1])
    assert urls_are_there == (True, True, 0o600)
    assert (code, trees.left(members)) == (0, set())


async def test_whatever_was_killed_the_next_start_has_all(path: pathlib.Path) -> None:
    """kill -9 of the tree, then of `up` alone, whose children end by themselves; Ctrl-C stops all."""
    with Up(path) as killed:
        await killed.ready()
        posted = [await killed.post()]
        killed.kill_all()

    with Up(path) as orphaning:
        await orphaning.ready()
        answer = await orphaning.read()
        posted.append(await orphaning.post())
        members = orphaning.tree()
        commands = trees.command_lines()
        children = {one for one in members if " -m geoingest " in commands[one.pid]}
        orphaning.kill()
        await conftest.until(lambda: not trees.left(children), seconds=STOP_SECONDS)

    with Up(path) as last:
        await last.ready()
        found = [_has(path, timestamp) for timestamp in posted]
        members |= last.tree()
        last.popen.send_signal(signal.SIGINT)
        code = await last.ended(seconds=STOP_SECONDS)
        said = last.output()

    assert answer["source"] == "replica"
    # Itself, the service with its two workers, the jobs and the phones.
    assert len(children) == 6
    assert found == [True, True]
    assert (code, trees.left(members)) == (0, set())
    assert "Traceback" not in said
