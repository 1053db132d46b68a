"""The service under test, and its jobs: processes of their own, on free ports, ended with the measurement."""

from __future__ import annotations

import contextlib
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import click
import orjson

from bench import world
from geoingest.local import child

GEOINGEST = ("geoingest", "serve", child.LEASH)
JOBS = ("geoingest", "jobs", child.LEASH)
_ROOT = pathlib.Path(__file__).parent.parent
_START_SECONDS = 60.0
_STOP_SECONDS = 20.0
_POLL_SECONDS = 0.1


class Service(NamedTuple):
    """Where it listens, and which process it is."""

    host: str
    port: int
    pid: int
    admin_url: str


@contextlib.contextmanager
def running(
    on: world.World, *, module: Sequence[str] = GEOINGEST, settings: Mapping[str, str] | None = None
) -> Iterator[Service]:
    """Starts it, waits until it is ready, and stops it; what it warned of goes to stderr."""
    process, log = _spawn(on, module, settings or {})
    try:
        url, admin_url = _wait_until_ready(process, log)
        click.echo(f"service {url}, pid {process.pid}, admin {admin_url}", err=True)
        address = urllib.parse.urlsplit(url)
        yield Service(str(address.hostname), int(address.port or 0), process.pid, admin_url)
        if process.poll() is not None:
            raise click.ClickException(f"the service ended by itself: {_last_line(log)}")
    finally:
        _stop(process)
        _tell_warnings(log)


@contextlib.contextmanager
def jobs(on: world.World) -> Iterator[None]:
    """`geoingest jobs` beside it."""
    process, log = _spawn(on, JOBS, {})
    try:
        yield
        if process.poll() is not None:
            raise click.ClickException(f"the jobs ended by themselves: {_last_line(log)}")
    finally:
        _stop(process)
        _tell_warnings(log)


def _spawn(
    on: world.World, module: Sequence[str], settings: Mapping[str, str]
) -> tuple[subprocess.Popen[bytes], pathlib.Path]:
    """The process, and the file it logs to."""
    environment = {
        **os.environ,
        "DATABASE_URL": on.servers.urls.ingest,
        "DATABASE_READ_URL": on.servers.urls.read,
        "DATABASE_REPLICA_URL": on.replica_url,
        "DATABASE_DIRECT_URL": on.servers.urls.jobs,
        "GEOINGEST_HOST": "127.0.0.1",
        "GEOINGEST_PORT": "0",
        "GEOINGEST_ADMIN_PORT": "0",
        "GEOINGEST_LOG_FORMAT": "json",
        "GEOINGEST_LOG_LEVEL": "info",
        **settings,
    }
    with tempfile.NamedTemporaryFile(dir=on.folder, suffix=".log", delete=False) as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *module],
            env=environment,
            cwd=_ROOT,
            stdout=output,
            stderr=output,
            # Never written to: it closes when we are gone, and the service ends with us.
            stdin=subprocess.PIPE,
            # Ctrl-C reaches the whole terminal; the order of stopping is ours.
            start_new_session=True,
        )
    return process, pathlib.Path(output.name)


def _wait_until_ready(process: subprocess.Popen[bytes], log: pathlib.Path) -> tuple[str, str]:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise click.ClickException(f"the service did not start: {_last_line(log)}")
        for line in _lines(log):
            if line.get("message") == "serving":
                url, admin_url = str(line["url"]), str(line["admin"])
                if _is_ready(admin_url):
                    return url, admin_url
        time.sleep(_POLL_SECONDS)
    raise click.ClickException(f"the service is not ready: {_last_line(log)}")


def _is_ready(admin_url: str) -> bool:
    with (
        contextlib.suppress(OSError, urllib.error.URLError),
        urllib.request.urlopen(f"{admin_url}/readyz", timeout=5),
    ):
        return True
    return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        click.echo("the service does not stop and is killed", err=True)
        process.kill()
        process.wait()
    if process.stdin is not None:
        process.stdin.close()


def _lines(log: pathlib.Path) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    for line in log.read_bytes().splitlines():
        with contextlib.suppress(orjson.JSONDecodeError):
            found.append(orjson.loads(line))
    return found


def _last_line(log: pathlib.Path) -> str:
    return log.read_text(errors="replace").strip().rpartition("\n")[2] or "it said nothing"


def _tell_warnings(log: pathlib.Path) -> None:
    for line in _lines(log):
        if line.get("level") in {"warning", "error", "critical"}:
            click.echo(f"service: {orjson.dumps(line).decode()}", err=True)
