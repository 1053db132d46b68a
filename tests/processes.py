"""`geoingest` commands as real processes: started, waited for, killed, looked at."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pathlib
import resource
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import Self

import aiohttp

from geoingest.local import roles
from tests import conftest

ROOT = pathlib.Path(__file__).parent.parent
# Imports on a busy machine take seconds, a database in crash recovery more.
START_SECONDS = 60.0
STOP_SECONDS = 30.0


class Process:
    """One command of its own, whatever it writes kept in a file."""

    def __init__(
        self, *arguments: str, environment: Mapping[str, str], module: str = "geoingest"
    ) -> None:
        self._output = tempfile.TemporaryFile()  # noqa: SIM115  # closed by __exit__
        self.popen = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            env={**plain_environment(), **environment},
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leaves nothing running; what the process said is shown when the test fails."""
        if self.popen.poll() is None:
            self.popen.kill()
        self.popen.wait()
        if exc is not None:
            sys.stderr.write(self.output())
        self._output.close()

    def output(self) -> str:
        """All it has written so far, to stdout and stderr."""
        return os.pread(self._output.fileno(), 2**24, 0).decode(errors="replace")

    def kill(self) -> None:
        """kill -9; returns when it is gone."""
        self.popen.kill()
        self.popen.wait()

    async def ended(self, *, seconds: float = STOP_SECONDS) -> int:
        """The exit code, once there is one."""
        await conftest.until(lambda: self.popen.poll() is not None, seconds=seconds)
        return int(self.popen.returncode)

    async def says(self, words: str, *, seconds: float = START_SECONDS) -> None:
        """Returns once it has written these words; fails when it ends without them."""
        await conftest.until(
            lambda: words in self.output() or self.popen.poll() is not None, seconds=seconds
        )
        assert words in self.output(), self.output()

    def rss_mib(self) -> float:
        """Memory that it holds now."""
        return self._memory_mib("VmRSS:")

    def peak_mib(self) -> float:
        """The most memory that it has held."""
        return self._memory_mib("VmHWM:")

    def _memory_mib(self, name: str) -> float:
        status = pathlib.Path(f"/proc/{self.popen.pid}/status").read_text()
        (line,) = (one for one in status.splitlines() if one.startswith(name))
        return int(line.split()[1]) / 1024


class Service(Process):
    """`geoingest serve` on free ports."""

    def __init__(self, environment: Mapping[str, str], *, module: str = "geoingest") -> None:
        self.port, admin_port = free_ports(2)
        self.url = f"http://127.0.0.1:{self.port}"
        self.admin_url = f"http://127.0.0.1:{admin_port}"
        ours = {
            "GEOINGEST_PORT": str(self.port),
            "GEOINGEST_ADMIN_PORT": str(admin_port),
            # A few phones make the load of many, and so do a few guardians.
            "GEOINGEST_DEVICE_REQUESTS_PER_SECOND": "100000",
            "GEOINGEST_VIEWER_REQUESTS_PER_SECOND": "100000",
            "GEOINGEST_LOGINS_PER_SECOND": "100000",
        }
        super().__init__("serve", environment={**ours, **environment}, module=module)

    def terminate(self) -> None:
        """SIGTERM: drain, please."""
        self.popen.send_signal(signal.SIGTERM)

    async def ready(self, *, seconds: float = START_SECONDS) -> None:
        """Returns once /readyz answers 200."""
        async with asyncio.timeout(seconds):
            while await self.status("/readyz") != 200:
                assert self.popen.poll() is None, self.output()
                await asyncio.sleep(0.02)

    async def status(self, path: str) -> int | None:
        """What the admin port answers; None before it listens."""
        try:
            async with aiohttp.ClientSession(self.admin_url) as session, session.get(path) as got:
                return got.status
        except aiohttp.ClientConnectionError:
            return None

    async def metrics(self) -> dict[str, float]:
        """Every sample of /metrics, by its name with labels."""
        async with aiohttp.ClientSession(self.admin_url) as session, session.get("/metrics") as got:
            lines = (await got.text()).splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        return {name: float(value) for name, value in pairs}


@contextlib.asynccontextmanager
async def serving(
    database: conftest.Database, *, module: str = "geoingest", **environment: str
) -> AsyncIterator[Service]:
    """A ready service on a test's database; killed at the end unless it has ended."""
    with Service({**urls(database), **environment}, module=module) as service:
        await service.ready()
        yield service


def urls(database: conftest.Database) -> dict[str, str]:
    """The environment that leads a command to a test's database."""
    return ways(database.url, replica_url=database.replica_url)


def ways(url: str, *, replica_url: str = "", direct_url: str = "") -> dict[str, str]:
    """The same along these ways, which are the owner's, for each role that there is."""
    return {
        "DATABASE_URL": conftest.as_role(url, roles.INGEST),
        "DATABASE_READ_URL": conftest.as_role(url, roles.READ),
        "DATABASE_REPLICA_URL": conftest.as_role(replica_url, roles.READ),
        "DATABASE_DIRECT_URL": direct_url or url,
    }


def plain_environment() -> dict[str, str]:
    """Our environment without any setting of the program."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("GEOINGEST_", "DATABASE_", "PG"))
    }


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def allow_files(count: int) -> int:
    """Raises this process's limit of open files towards `count`; the limit that is now in force."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
