"""The `python -m bench` command: each measurement prints its progress on stderr and one JSON line last."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click
import orjson
from typing_extensions import override

from bench import capacity, ingest, peers, provision, reads, report, results, school_day
from geoingest import errors, logs

F = TypeVar("F", bound=Callable[..., Any])
_MEASURE: dict[str, Callable[[Any], dict[str, object]]] = {
    "ingest": ingest.run,
    "capacity": capacity.run,
    "peers": peers.run,
    "reads": reads.run,
    "provision": provision.run,
    "school-day": school_day.run,
}


class _Group(click.Group):
    """One line on stderr for what went wrong."""

    @override
    def invoke(self, ctx: click.Context) -> Any:  # click's own signature
        try:
            return super().invoke(ctx)
        except errors.GeoingestError as exc:
            raise click.ClickException(str(exc)) from exc


def _example(text: str) -> dict[str, Any]:
    return {"epilog": f"\b\nExample:\n  {text}"}


def _save(command: F) -> F:
    return click.option("--save", is_flag=True, help="Keep the result for `report`.")(command)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Measure geoingest on this machine; every number the README claims comes from here.

    Each measurement makes its own embedded databases in the temporary folder, starts the service
    as a process of its own, and stops everything at its end. Progress goes to stderr; the last
    line on stdout is the result as JSON.
    """
    logs.configure("text", "warning")
    # So that everything started is stopped, as on Ctrl-C.
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(143))


@main.command("ingest", **_example("python -m bench ingest --devices 5000 --rate 1000"))
@click.option("--devices", default=ingest.Plan().devices, show_default=True, help="Sockets.")
@click.option("--rate", default=ingest.Plan().rate, show_default=True, help="Pings per second.")
@click.option("--seconds", default=ingest.Plan().seconds, show_default=True, help="Measured.")
@click.option("--warmup", default=ingest.Plan().warmup, show_default=True, help="Seconds before.")
@_save
def ingest_command(save: bool, **options: Any) -> None:
    """Latency of single pings from thousands of phones, open loop."""
    plan = ingest.Plan(**options)
    _finish("ingest", plan, ingest.run(plan), save=save)


@main.command("capacity", **_example("python -m bench capacity --rounds 3"))
@click.option("--rounds", default=capacity.Plan().rounds, show_default=True, help="Of all five.")
@click.option("--seconds", default=capacity.Plan().seconds, show_default=True, help="Per lap.")
@click.option("--warmup", default=capacity.Plan().warmup, show_default=True, help="Before a lap.")
@click.option("--sockets", default=capacity.Plan().sockets, show_default=True, help="For singles.")
@click.option(
    "--batch-sockets", default=capacity.Plan().batch_sockets, show_default=True, help="For bodies."
)
@_save
def capacity_command(save: bool, **options: Any) -> None:
    """Throughput against bare HTTP, an INSERT per request, and psql's COPY, closed loop."""
    plan = capacity.Plan(**options)
    _finish("capacity", plan, capacity.run(plan), save=save)


@main.command("peers", **_example("python -m bench peers --rounds 3"))
@click.option("--rounds", default=peers.Plan().rounds, show_default=True, help="Of all peers.")
@click.option("--seconds", default=peers.Plan().seconds, show_default=True, help="Per lap.")
@click.option("--warmup", default=peers.Plan().warmup, show_default=True, help="Before a lap.")
@click.option("--sockets", default=peers.Plan().sockets, show_default=True, help="For singles.")
@click.option(
    "--batch-sockets", default=peers.Plan().batch_sockets, show_default=True, help="For bodies."
)
@click.option(
    "--rate", default=peers.Plan().rate, show_default=True, help="Pings per second, for p99."
)
@_save
def peers_command(save: bool, **options: Any) -> None:
    """Throughput, CPU time per ping and p99 beside FastAPI with INSERT or executemany, and COPY."""
    plan = peers.Plan(**options)
    _finish("peers", plan, peers.run(plan), save=save)


@main.command("reads", **_example("python -m bench reads --students 3500 --days 30"))
@click.option("--students", default=reads.Plan().students, show_default=True, help="Seeded.")
@click.option("--days", default=reads.Plan().days, show_default=True, help="Seeded, at most 89.")
@click.option("--seconds", default=reads.Plan().seconds, show_default=True, help="Measured.")
@click.option("--rate", default=reads.Plan().rate, show_default=True, help="Of each, per second.")
@click.option("--pings", default=reads.Plan().pings, show_default=True, help="Per second.")
@click.option("--warmup", default=reads.Plan().warmup, show_default=True, help="Seconds before.")
@_save
def reads_command(save: bool, **options: Any) -> None:
    """Latency of the newest position and of a day's track while pings arrive, open loop."""
    plan = reads.Plan(**options)
    _finish("reads", plan, reads.run(plan), save=save)


@main.command("provision", **_example("python -m bench provision --students 100000"))
@click.option("--students", default=provision.Plan().students, show_default=True, help="Enrolled.")
@_save
def provision_command(save: bool, **options: Any) -> None:
    """Time to enrol a school district by `geoingest provision`."""
    plan = provision.Plan(**options)
    _finish("provision", plan, provision.run(plan), save=save)


@main.command("school-day", **_example("python -m bench school-day --minutes 4.5"))
@click.option("--minutes", default=school_day.Plan().minutes, show_default=True, help="For a day.")
@click.option("--devices", default=school_day.Plan().devices, show_default=True, help="Sockets.")
@click.option("--students", default=school_day.Plan().students, show_default=True, help="Imported.")
@click.option("--days", default=school_day.Plan().days, show_default=True, help="Seeded before.")
@click.option("--quick", is_flag=True, help="Small and short, to see that it works.")
@_save
def school_day_command(save: bool, quick: bool, **options: Any) -> None:
    """Latency through a school's day: rush, bells, buses, an import, guardians, open loop."""
    plan = school_day.QUICK if quick else school_day.Plan(**options)
    _finish("school-day", plan, school_day.run(plan), save=save)


@main.command("all", **_example("python -m bench all --quick"))
@click.option("--quick", is_flag=True, help="Short runs, to see that all work; no report.")
def all_command(quick: bool) -> None:
    """Run all of them, save their results, write bench/README.md."""
    plans: dict[str, Any] = {
        "ingest": ingest.Plan(seconds=10.0) if quick else ingest.Plan(),
        "capacity": capacity.Plan(rounds=2, seconds=2.0) if quick else capacity.Plan(),
        "peers": peers.Plan(rounds=1, seconds=2.0) if quick else peers.Plan(),
        "reads": reads.Plan(students=500, days=5, seconds=10.0) if quick else reads.Plan(),
        "provision": provision.Plan(10_000) if quick else provision.Plan(),
        "school-day": school_day.QUICK if quick else school_day.Plan(),
    }
    values = {}
    for name, plan in plans.items():
        click.echo(results.command(name, plan), err=True)
        values[name] = _MEASURE[name](plan)
        click.echo(_json(values[name]), err=True)
        results.save(name, plan, values[name])
    if not quick:
        _report()
    click.echo(_json(values))


@main.command("report", **_example("python -m bench report"))
def report_command() -> None:
    """Write bench/README.md, and the line of numbers in README.md, from the saved results."""
    click.echo(_json({"written": _report()}))


def _report() -> list[str]:
    written = [str(path) for path in report.write()]
    click.echo(f"written: {', '.join(written)}", err=True)
    return written


def _finish(name: str, plan: tuple[object, ...], values: dict[str, object], *, save: bool) -> None:
    if save:
        results.save(name, plan, values)
    click.echo(_json(values))


def _json(values: object) -> bytes:
    return orjson.dumps(values, option=orjson.OPT_NON_STR_KEYS)


if __name__ == "__main__":
    main()
