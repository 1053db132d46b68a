"""The periodic jobs: run by a process of their own, once by hand, or looked at."""

from __future__ import annotations

import dataclasses
import datetime
import signal
import sys
import threading

import click
import orjson
import prometheus_client

from geoingest import config, db, errors
from geoingest.commands import databases, options, tables
from geoingest.lifecycle import archive, jobs, status
from geoingest.local import child


@click.group(
    "jobs",
    cls=click.Group,
    invoke_without_command=True,
    **options.example("geoingest jobs --once"),
)
@click.option("--once", is_flag=True, help="One round, then exit; 1 when a job failed.")
@options.archive
@options.leash
@click.pass_context
def jobs_group(ctx: click.Context, once: bool, archive_dir: str | None, on_leash: bool) -> None:
    """Run the periodic jobs, each when it is due; safe on several machines."""
    if ctx.invoked_subcommand is not None:
        return
    found = _settings(ctx.obj, archive_dir)
    if once:
        with jobs.pool(found) as connections:
            outcomes = jobs.run_once(connections, found, now=_now())
        sys.exit(1 if "failed" in outcomes.values() else 0)
    if on_leash:
        child.follow_parent()
    if found.jobs_port:
        _serve_metrics(found.host, found.jobs_port)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    jobs.run(found, stop)


@jobs_group.command("run", **options.example("geoingest jobs run partitions"))
@click.argument("job", type=click.Choice(list(jobs.JOBS)))
@click.option("--from", "start", type=options.Instant(), help="Go back over a range: its start.")
@click.option("--to", "end", type=options.Instant(), help="Its end, excluded; now without it.")
@options.archive
@click.pass_obj
def run_command(
    settings: config.Config,
    job: str,
    start: datetime.datetime | None,
    end: datetime.datetime | None,
    archive_dir: str | None,
) -> None:
    """Run one job now, as soon as no other process is at it; prints its result.

    --from and --to, days in UTC or instants, are for jobs that can go back.
    """
    now = _now()
    window = _window(job, start, end, now)
    found = _settings(settings, archive_dir)
    with jobs.pool(found) as connections:
        click.echo(jobs.run_now(connections, found, job, now=now, window=window))


@jobs_group.command("status", **options.example("geoingest jobs status --json"))
@click.option("--json", "as_json", is_flag=True, help="For scripts: one JSON object.")
@click.pass_obj
def status_command(settings: config.Config, as_json: bool) -> None:
    """Show each job's last run, and how far all of them are."""
    with db.direct(databases.direct_url(settings)) as connection:
        found = status.read(connection, detail_days=settings.detail_days, now=_now())
    if as_json:
        click.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z))
        return
    heads = ("job", "last run", "outcome", "result", "next due")
    runs = [(run.job, run.started_at, run.outcome, run.result, run.due_at) for run in found.jobs]
    click.echo(tables.write([heads, *runs]))
    click.echo()
    facts = [
        ("rolled up to", found.rolled_to),
        ("late hours waiting", found.late_hours),
        ("months ahead", found.months_ahead),
        ("oldest detail", found.oldest_detail),
        ("sealed up to", found.sealed_to),
        ("days past their time, not sealed", found.days_not_sealed),
    ]
    click.echo(tables.write(facts))


def _settings(settings: config.Config, archive_dir: str | None) -> config.Config:
    """With a database, and with an archive if there is to be one."""
    found = databases.require(settings)
    if archive_dir is not None:
        found = dataclasses.replace(found, archive_dir=archive_dir)
    archive.check(found)
    return found


def _window(
    job: str,
    start: datetime.datetime | None,
    end: datetime.datetime | None,
    now: datetime.datetime,
) -> jobs.Window | None:
    if start is None and end is None:
        return None
    if jobs.JOBS[job].backfill is None:
        raise click.UsageError(f"{job} does not go back: it takes neither --from nor --to")
    if start is None or start >= (end or now):
        raise click.UsageError("--from: before --to")
    return jobs.Window(start, end or now)


def _serve_metrics(host: str, port: int) -> None:
    try:
        prometheus_client.start_http_server(port, host)
    except OSError as exc:
        raise errors.LocalError(f"cannot listen on {host}:{port}: {exc.strerror}") from exc


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
