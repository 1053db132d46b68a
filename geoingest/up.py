"""`geoingest up`: databases, service, jobs and simulated phones as one process tree."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import logging
import pathlib
import signal
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import NamedTuple

import click

from geoingest import config, errors, simulation
from geoingest.access import provision
from geoingest.lifecycle import migrations
from geoingest.local import child, cluster, folder

log = logging.getLogger(__name__)

_POLL_SECONDS = 0.2
_READY_SECONDS = 60.0


class Plan(NamedTuple):
    """What `geoingest up` was asked for."""

    settings: config.Config
    simulate: int
    interval_seconds: float
    trace: pathlib.Path | None
    postgres_bin: pathlib.Path | None


class _Reached(NamedTuple):
    """The way to the databases; that of the jobs is their role's own."""

    settings: config.Config
    jobs_url: str


def up(plan: Plan) -> None:
    """Starts everything, says where it is, and stops it all in order on Ctrl-C or SIGTERM."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    with folder.only_one(plan.settings.folder), contextlib.ExitStack() as stack:
        watch: list[Callable[[], None]] = []
        reached = _Reached(plan.settings, plan.settings.database_direct_url)
        if not plan.settings.database_url:
            reached, look = stack.enter_context(_databases(plan))
            watch.append(look)
        if not stop.is_set():
            _serve(plan, reached, stack, watch, stop)
        while not stop.wait(_POLL_SECONDS):
            for look in watch:
                look()
        click.echo("stopping", err=True)


@contextlib.contextmanager
def _databases(plan: Plan) -> Iterator[tuple[_Reached, Callable[[], None]]]:
    """The embedded primary and replica; the way to them, and a look after them."""
    path = plan.settings.folder
    servers = cluster.Cluster(path, postgres_bin=plan.postgres_bin)
    scaled = cluster.settings_for_this_machine()
    if scaled.note:
        click.echo(f"note: {scaled.note}", err=True)
    click.echo(f"starting {servers.version} with a replica in {path}", err=True)
    try:
        servers.start(scaled.values)
        urls = servers.urls
        settings = dataclasses.replace(
            plan.settings,
            database_url=urls.ingest,
            database_read_url=urls.read,
            database_replica_url=urls.replica,
            database_direct_url=urls.owner,
        )
        folder.write_urls(path, _environment(settings))
        yield _Reached(settings, urls.jobs), lambda: servers.look(scaled.values)
    finally:
        servers.stop()


def _serve(
    plan: Plan,
    reached: _Reached,
    stack: contextlib.ExitStack,
    watch: list[Callable[[], None]],
    stop: threading.Event,
) -> None:
    settings = reached.settings
    migrations.run(
        settings.direct_url,
        detail_days=settings.detail_days,
        now=datetime.datetime.now(datetime.UTC),
    )
    enrolled = simulation.enrol(settings, max(1, plan.simulate))
    environment = _environment(settings)

    def run(*arguments: str, **changes: str) -> child.Child:
        one = child.Child(arguments, {**environment, **changes})
        stack.callback(one.stop)
        watch.append(one.look)
        return one

    service = run("serve")
    _wait_until_ready(settings, service, stop)
    run("jobs", DATABASE_DIRECT_URL=reached.jobs_url)
    if plan.simulate:
        trace = [] if plan.trace is None else ["--trace", str(plan.trace)]
        interval = ["--interval", str(plan.interval_seconds)]
        run("simulate", "--devices", str(plan.simulate), *interval, *trace)
    if not stop.is_set():
        _announce(plan, settings, enrolled[0])


def _environment(settings: config.Config) -> dict[str, str]:
    """What leads a command to the databases."""
    return {
        "DATABASE_URL": settings.database_url,
        "DATABASE_READ_URL": settings.database_read_url,
        "DATABASE_REPLICA_URL": settings.database_replica_url,
        "DATABASE_DIRECT_URL": settings.database_direct_url,
    }


def _wait_until_ready(settings: config.Config, service: child.Child, stop: threading.Event) -> None:
    address = f"http://{settings.host}:{settings.admin_port}/readyz"
    deadline = time.monotonic() + _READY_SECONDS
    while not stop.wait(_POLL_SECONDS):
        if service.exit_code is not None:
            raise errors.LocalError("the service did not start; the line above says why")
        with (
            contextlib.suppress(OSError, urllib.error.URLError),
            urllib.request.urlopen(address, timeout=5),  # anything but a 200 is an error
        ):
            return
        if time.monotonic() > deadline:
            raise errors.LocalError(f"the service is not ready; see {address}")


def _announce(plan: Plan, settings: config.Config, one: provision.Enrolled) -> None:
    url = f"http://{settings.host}:{settings.port}"
    admin = f"http://{settings.host}:{settings.admin_port}"
    phones = f"{plan.simulate} simulated" if plan.simulate else "none; try --simulate 50"
    where = "DATABASE_URL" if plan.settings.database_url else settings.folder
    click.echo(
        f"""ready
  pings and reads  {url}          (interface: {url}/openapi.json)
  metrics, health  {admin}/metrics  {admin}/readyz
  databases        {where}
  phones           {phones}

Post a ping of student {one.student_id}:
  curl -s {url}/v1/pings -H 'Authorization: Bearer {one.device_token}' \\
    -d '{{"timestamp":"'$(date -u +%FT%TZ)'","latitude":52.5163,"longitude":13.3777}}'

Ask where student {one.student_id} is:
  curl -s {url}/v1/students/{one.student_id}/location -H 'Authorization: Bearer {one.viewer_token}'

Ctrl-C stops everything."""
    )
