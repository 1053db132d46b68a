"""The `geoingest` command: options and exit codes; the work is done elsewhere."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import os
import pathlib
import signal
import sys
from typing import Any, Literal, NoReturn

import click
import orjson
import psycopg
from typing_extensions import override

import geoingest
from geoingest import config, db, errors, logs, metrics, serve, simulation, supervisor, up, worker
from geoingest.access import roster
from geoingest.commands import (
    databases,
    devices,
    directory,
    erasures,
    exports,
    jobs,
    options,
    people,
    shares,
)
from geoingest.lifecycle import migrations
from geoingest.local import child, clients


class _WorkerCount(click.IntRange):
    """A whole number, or auto."""

    name = "N|auto"

    @override
    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Any:  # click's own signature
        return value if value == "auto" else super().convert(value, param, ctx)


class _Group(click.Group):
    """Turns our errors into one line on stderr and the exit code that scripts test for."""

    @override
    def invoke(self, ctx: click.Context) -> Any:  # click's own signature
        try:
            return super().invoke(ctx)
        except errors.GeoingestError as exc:
            _fail(str(exc), exc.exit_code)
        except psycopg.OperationalError as exc:
            _fail(
                f"the database went away ({db.sqlstate(exc)})", errors.DatabaseAwayError.exit_code
            )
        except psycopg.errors.UndefinedTable:
            _fail("the database has no schema yet; run: geoingest migrate", 1)
        except psycopg.errors.InsufficientPrivilege:
            _fail(
                "the role may not do this; name that of the owner in DATABASE_DIRECT_URL",
                errors.SettingsError.exit_code,
            )


def _fail(words: str, code: int) -> NoReturn:
    click.echo(f"geoingest: {words}", err=True)
    sys.exit(code)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(geoingest.__version__, message="%(version)s")
@click.pass_context
def main(ctx: click.Context) -> None:
    """Take location pings, commit them in batches, answer where a student is.

    Settings come from the environment: DATABASE_URL, GEOINGEST_PORT and others; see the README.
    Exit codes: 0 ok, 1 failed, 2 usage, 75 database away, 78 bad settings.
    """
    settings = config.load(os.environ)
    logs.configure(settings.log_format, settings.log_level)
    ctx.obj = settings


@main.command("up", **options.example("geoingest up --simulate 50"))
@click.option("--simulate", default=0, type=click.IntRange(0), help="Phones to simulate.")
@click.option(
    "--interval",
    default=5.0,
    type=click.FloatRange(0, min_open=True),
    help="Seconds between two posts of a phone.",
)
@click.option(
    "--trace", type=options.FILE, help="GPX or CSV of real trips for the phones to replay."
)
@click.option(
    "--postgres-bin",
    type=click.Path(path_type=pathlib.Path, exists=True, file_okay=False),
    help="Folder of a system PostgreSQL's programs, instead of the wheel's.",
)
@click.pass_obj
def up_command(
    settings: config.Config,
    simulate: int,
    interval: float,
    trace: pathlib.Path | None,
    postgres_bin: pathlib.Path | None,
) -> None:
    """Run everything on this machine: primary, replica, service, jobs.

    Without DATABASE_URL a PostgreSQL with a streaming replica is made in GEOINGEST_DATA_DIR.
    """
    up.up(up.Plan(settings, simulate, interval, trace, postgres_bin))


@main.command("serve", **options.example("DATABASE_URL=postgresql://geo@db/geo geoingest serve"))
@click.option(
    "--workers",
    type=_WorkerCount(1),
    help="Processes that share the port, auto for one per core; default: GEOINGEST_WORKERS.",
)
@click.option(
    worker.SHARE, type=(int, click.Path(path_type=pathlib.Path)), default=None, hidden=True
)
@options.leash
@click.pass_obj
def serve_command(
    settings: config.Config,
    workers: int | Literal["auto"] | None,
    share: tuple[int, pathlib.Path] | None,
    on_leash: bool,
) -> None:
    """Run the service; SIGTERM answers what was read, then ends.

    With several workers SIGHUP replaces them one after the other; nobody is turned away.
    """
    if on_leash:
        child.follow_parent()
    found = databases.require(settings)
    if workers is not None:
        found = dataclasses.replace(found, workers=workers)
    if share is not None:
        logs.name_worker(metrics.SLOT or "")
        asyncio.run(serve.serve_share(found, serve.Share(*share)))
    elif found.worker_count > 1:
        asyncio.run(supervisor.supervise(found))
    else:
        asyncio.run(serve.serve(found))


@main.command("migrate", **options.example("geoingest migrate"))
@click.pass_obj
def migrate_command(settings: config.Config) -> None:
    """Bring the schema and the monthly partitions up to date; safe to repeat."""
    made = migrations.run(
        databases.direct_url(settings), detail_days=settings.detail_days, now=_now()
    )
    for name in made:
        click.echo(name)
    click.echo(f"{len(made)} changes" if made else "up to date", err=True)


@main.command(
    "simulate", **options.example("geoingest simulate --devices 100 --protocol owntracks")
)
@click.option("--devices", default=50, type=click.IntRange(1), help="How many phones.")
@click.option(
    "--protocol",
    default="native",
    type=click.Choice(list(clients.PROTOCOLS)),
    help="The app on the phones; they share its versions and keep to each one's rules.",
)
@click.option(
    "--interval",
    default=5.0,
    type=click.FloatRange(0, min_open=True),
    help="Seconds between two posts of a phone.",
)
@click.option(
    "--trace", type=options.FILE, help="GPX, or CSV with lat, lng, datetime, uid; also .gz."
)
@click.option("--fast", is_flag=True, help="Post the whole trace once, as fast as it is taken.")
@click.option(
    "--until",
    type=click.DateTime(["%Y-%m-%dT%H:%M:%SZ"]),
    help="With --fast: when the trace ends, UTC; now without it.",
)
@click.option("--seconds", type=float, help="End after so long.")
@click.option("--url", help="The service; default: that of GEOINGEST_HOST and GEOINGEST_PORT.")
@click.option(
    "--tokens", type=options.FILE, help="CSV of `geoingest provision`; default: own students."
)
@options.leash
@click.pass_obj
def simulate_command(
    settings: config.Config, /, devices: int, on_leash: bool, **plan: Any
) -> None:  # click's options
    """Post pings as phones and their apps do, with the patience of each on 503.

    They go for walks, or on real trips with --trace.
    """
    if plan["fast"] and plan["trace"] is None:
        raise click.UsageError("--fast needs --trace")
    if on_leash:
        child.follow_parent()
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(0))
    if plan["tokens"] is None:
        enrolled = simulation.enrol(databases.require(settings), devices)
    else:
        enrolled = roster.read(plan["tokens"])[:devices]
    until = plan["until"].replace(tzinfo=datetime.UTC) if plan["until"] else _now()
    sums = simulation.run(
        simulation.Plan(
            plan["url"] or f"http://{settings.host}:{settings.port}",
            plan["protocol"],
            plan["interval"],
            simulation.load_trips(plan["trace"]),
            plan["fast"],
            until,
            plan["seconds"],
        ),
        [one.device_token for one in enrolled],
    )
    click.echo(orjson.dumps(sums.summary()))


for one in (
    jobs.jobs_group,
    people.provision_command,
    devices.device_group,
    people.viewer_group,
    people.school_group,
    people.student_group,
    directory.directory_group,
    shares.share_group,
    erasures.erase_command,
    exports.export_command,
):
    main.add_command(one)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
