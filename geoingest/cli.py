"""The `geoingest` command: options and exit codes; the work is done elsewhere."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import os
import pathlib
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any, Literal, NoReturn, TypeVar

import click
import orjson
import prometheus_client
import psycopg
from typing_extensions import override

import geoingest
from geoingest import config, db, errors, logs, metrics, serve, simulation, supervisor, up, worker
from geoingest.access import provision, roster
from geoingest.lifecycle import jobs, migrations
from geoingest.local import child

F = TypeVar("F", bound=Callable[..., Any])
_FILE = click.Path(path_type=pathlib.Path, exists=True, dir_okay=False)


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


def _fail(words: str, code: int) -> NoReturn:
    click.echo(f"geoingest: {words}", err=True)
    sys.exit(code)


def _example(text: str) -> dict[str, Any]:
    return {"epilog": f"\b\nExample:\n  {text}"}


def _leash(command: F) -> F:
    return click.option(child.LEASH, is_flag=True, hidden=True)(command)


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


def _with_database(settings: config.Config) -> config.Config:
    found = config.with_urls(settings)
    if not found.database_url:
        raise errors.SettingsError(
            "no database: set DATABASE_URL, or start the embedded one with: geoingest up"
        )
    for name, url in (
        ("DATABASE_URL", found.database_url),
        ("DATABASE_REPLICA_URL", found.database_replica_url),
        ("DATABASE_DIRECT_URL", found.database_direct_url),
    ):
        if url:
            db.check_url(name, url)
    return found


def _direct_url(settings: config.Config) -> str:
    return _with_database(settings).direct_url


@main.command("up", **_example("geoingest up --simulate 50"))
@click.option("--simulate", default=0, type=click.IntRange(0), help="Phones to simulate.")
@click.option(
    "--interval",
    default=5.0,
    type=click.FloatRange(0, min_open=True),
    help="Seconds between two posts of a phone.",
)
@click.option("--trace", type=_FILE, help="GPX or CSV of real trips for the phones to replay.")
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


@main.command("serve", **_example("DATABASE_URL=postgresql://geo@db/geo geoingest serve"))
@click.option(
    "--workers",
    type=_WorkerCount(1),
    help="Processes that share the port, auto for one per core; default: GEOINGEST_WORKERS.",
)
@click.option(
    worker.SHARE, type=(int, click.Path(path_type=pathlib.Path)), default=None, hidden=True
)
@_leash
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
    found = _with_database(settings)
    if workers is not None:
        found = dataclasses.replace(found, workers=workers)
    if share is not None:
        logs.name_worker(metrics.SLOT or "")
        asyncio.run(serve.serve_share(found, serve.Share(*share)))
    elif found.worker_count > 1:
        asyncio.run(supervisor.supervise(found))
    else:
        asyncio.run(serve.serve(found))


@main.command("jobs", **_example("geoingest jobs --once"))
@click.option("--once", is_flag=True, help="One round, then exit; 1 when a job failed.")
@_leash
@click.pass_obj
def jobs_command(settings: config.Config, once: bool, on_leash: bool) -> None:
    """Run the periodic jobs: months ahead, quarantine; safe on several machines."""
    found = _with_database(settings)
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


@main.command("migrate", **_example("geoingest migrate"))
@click.pass_obj
def migrate_command(settings: config.Config) -> None:
    """Bring the schema and the monthly partitions up to date; safe to repeat."""
    made = migrations.run(_direct_url(settings), detail_days=settings.detail_days, now=_now())
    for name in made:
        click.echo(name)
    click.echo(f"{len(made)} changes" if made else "up to date", err=True)


@main.command("provision", **_example("geoingest provision --students 3500 --csv school.csv"))
@click.option("--students", required=True, type=click.IntRange(1, 10_000_000), help="How many.")
@click.option(
    "--csv",
    "path",
    type=click.Path(path_type=pathlib.Path, dir_okay=False),
    help="New file for the tokens; stdout without it.",
)
@click.pass_obj
def provision_command(settings: config.Config, students: int, path: pathlib.Path | None) -> None:
    """Add students with a device and a viewer each; their tokens are shown this once."""
    with db.direct(_direct_url(settings)) as connection, connection.transaction():
        enrolled = provision.bulk(connection, students)
        # Written before the commit: no token may be valid that nobody has.
        if path is None:
            roster.write(sys.stdout, enrolled)
        else:
            with roster.create(path) as file:
                roster.write(file, enrolled)
    click.echo(f"{len(enrolled)} students added", err=True)


@main.group("device")
def device_group() -> None:
    """Add or revoke one device."""


@device_group.command("add", **_example("geoingest device add --student 17"))
@click.option("--student", type=click.IntRange(1, 2**63 - 1), help="Whose positions it reports.")
@click.option("--gateway", is_flag=True, help="A bus unit: names the student in each ping.")
@click.pass_obj
def device_add(settings: config.Config, student: int | None, gateway: bool) -> None:
    """Add a device; prints its id and token, tab-separated."""
    if (student is None) == (not gateway):
        raise click.UsageError("give --student ID or --gateway")
    with db.direct(_direct_url(settings)) as connection:
        device_id, token = provision.add_device(connection, student)
    click.echo(f"{device_id}\t{token}")


@device_group.command("revoke", **_example("geoingest device revoke 17"))
@click.argument("device", type=click.IntRange(1, 2**31 - 1))
@click.pass_obj
def device_revoke(settings: config.Config, device: int) -> None:
    """Revoke a device; its token stops working within 5 seconds."""
    with db.direct(_direct_url(settings)) as connection:
        provision.revoke_device(connection, device)


@main.group("viewer")
def viewer_group() -> None:
    """Add one viewer."""


@viewer_group.command("add", **_example("geoingest viewer add --students 1,2,3"))
@click.option("--students", required=True, help="Whom the viewer may see: 1,2,3 or all.")
@click.pass_obj
def viewer_add(settings: config.Config, students: str) -> None:
    """Add a viewer; prints its id and token, tab-separated."""
    wanted = None if students == "all" else _ids(students)
    with db.direct(_direct_url(settings)) as connection:
        viewer_id, token = provision.add_viewer(connection, wanted)
    click.echo(f"{viewer_id}\t{token}")


@main.command("simulate", **_example("geoingest simulate --devices 100 --interval 5"))
@click.option("--devices", default=50, type=click.IntRange(1), help="How many phones.")
@click.option(
    "--interval",
    default=5.0,
    type=click.FloatRange(0, min_open=True),
    help="Seconds between two posts of a phone.",
)
@click.option("--trace", type=_FILE, help="GPX, or CSV with lat, lng, datetime, uid; also .gz.")
@click.option("--fast", is_flag=True, help="Post the whole trace once, as fast as it is taken.")
@click.option(
    "--until",
    type=click.DateTime(["%Y-%m-%dT%H:%M:%SZ"]),
    help="With --fast: when the trace ends, UTC; now without it.",
)
@click.option("--seconds", type=float, help="End after so long.")
@click.option("--url", help="The service; default: that of GEOINGEST_HOST and GEOINGEST_PORT.")
@click.option("--tokens", type=_FILE, help="CSV of `geoingest provision`; default: own students.")
@_leash
@click.pass_obj
def simulate_command(
    settings: config.Config, /, devices: int, on_leash: bool, **plan: Any
) -> None:  # click's options
    """Post pings as phones do: keep-alive, patience on 503; walks, or real trips with --trace."""
    if plan["fast"] and plan["trace"] is None:
        raise click.UsageError("--fast needs --trace")
    if on_leash:
        child.follow_parent()
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(0))
    if plan["tokens"] is None:
        enrolled = simulation.enrol(_with_database(settings), devices)
    else:
        enrolled = roster.read(plan["tokens"])[:devices]
    until = plan["until"].replace(tzinfo=datetime.UTC) if plan["until"] else _now()
    tally = simulation.run(
        simulation.Plan(
            plan["url"] or f"http://{settings.host}:{settings.port}",
            plan["interval"],
            simulation.load_trips(plan["trace"]),
            plan["fast"],
            until,
            plan["seconds"],
        ),
        [one.device_token for one in enrolled],
    )
    click.echo(orjson.dumps(tally.summary()))


def _ids(text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() and 0 < int(part) < 2**63 for part in parts):
        raise click.UsageError("--students: numbers as 1,2,3 or the word all")
    return [int(part) for part in parts]


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
