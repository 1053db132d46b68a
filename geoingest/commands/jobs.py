"""The periodic jobs, run by a process of their own or once by hand."""

from __future__ import annotations

import datetime
import signal
import sys
import threading

import click
import prometheus_client

from geoingest import config, errors
from geoingest.commands import databases, options
from geoingest.lifecycle import jobs
from geoingest.local import child


@click.command("jobs", **options.example("geoingest jobs --once"))
@click.option("--once", is_flag=True, help="One round, then exit; 1 when a job failed.")
@options.leash
@click.pass_obj
def jobs_command(settings: config.Config, once: bool, on_leash: bool) -> None:
    """Run the periodic jobs: months ahead, quarantine; safe on several machines."""
    found = databases.require(settings)
    if once:
        with jobs.pool(found) as connections:
            sys.exit(0 if jobs.run_once(connections, found, now=_now()) else 1)
    if on_leash:
        child.follow_parent()
    if found.jobs_port:
        _serve_metrics(found.host, found.jobs_port)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    jobs.run(found, stop)


def _serve_metrics(host: str, port: int) -> None:
    try:
        prometheus_client.start_http_server(port, host)
    except OSError as exc:
        raise errors.LocalError(f"cannot listen on {host}:{port}: {exc.strerror}") from exc


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
