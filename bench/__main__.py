"""The `python -m bench` command: each measurement prints its progress on stderr and one JSON line last."""

from __future__ import annotations

import functools
import signal
import sys
from typing import Any

import click
import orjson
from typing_extensions import override

from bench import (
    ingest,
    options,
    plain,
    report,
    results,
    school_day,
    soak,
    storm,
    suite,
)
from geoingest import errors, logs


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


# For tests of the measurement itself: a module that is broken on purpose must be found out.
_service = click.option("--service", default="geoingest", hidden=True)


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


def _add(name: str, one: plain.Plain) -> None:
    @main.command(name, help=one.help, **_example(f"python -m bench {name} {one.example}"))
    @options.of(one.plan, **one.words)
    def command(save: bool, **given: Any) -> None:
        plan = type(one.plan)(**given)
        _finish(suite.Measurement(name, one.run, plan, None), save=save)


for _name, _one in plain.ALL.items():
    _add(_name, _one)


@main.command("ingest", **_example("python -m bench ingest --rate 2000 --reads 100 --jobs"))
@options.of(ingest.Plan())
def ingest_command(save: bool, **given: Any) -> None:
    """Latency of single pings from thousands of phones, open loop."""
    plan = ingest.Plan(**given)
    variant = "busy" if plan.reads or plan.jobs else ""
    _finish(suite.Measurement("ingest", ingest.run, plan, None, variant), save=save)


@main.command("storm", **_example("python -m bench storm --devices 5000 --backlog 200"))
@options.of(storm.Plan())
@_service
def storm_command(save: bool, service: str, **given: Any) -> None:
    """All phones connect in one moment; then all come back in one moment with a backlog."""
    plan = storm.Plan(**given)
    variant = f"{plan.workers} workers" if plan.workers != 1 else ""
    run = functools.partial(storm.run, module=service)
    _finish(suite.Measurement("storm", run, plan, None, variant), save=save)


@main.command("soak", **_example("python -m bench soak --minutes 60"))
@options.of(soak.Plan())
@_service
def soak_command(save: bool, service: str, **given: Any) -> None:
    """A steady load with faults; exit code 1 when anything grows or is lost."""
    run = functools.partial(soak.run, module=service)
    found = _finish(suite.Measurement("soak", run, soak.Plan(**given), None), save=save)
    sys.exit(1 if found["failed"] else 0)


@main.command("school-day", **_example("python -m bench school-day --minutes 4.5"))
@options.of(school_day.Plan(), minutes="For a day.", students="Imported.")
@click.option("--quick", is_flag=True, help="Small and short, to see that it works.")
def school_day_command(save: bool, quick: bool, **given: Any) -> None:
    """Latency through a school's day: rush, bells, buses, an import, guardians, open loop."""
    plan = school_day.QUICK if quick else school_day.Plan(**given)
    _finish(suite.Measurement("school-day", school_day.run, plan, None), save=save)


@main.command("all", **_example("python -m bench all --quick"))
@click.option("--quick", is_flag=True, help="Short runs, to see that all work; nothing is kept.")
def all_command(quick: bool) -> None:
    """Run all of them, keep their results, write bench/README.md."""
    values = {}
    for one in suite.ALL:
        measurement = one._replace(plan=one.quick) if quick else one
        click.echo(results.command(one.command, measurement.plan), err=True)
        values[one.key] = _finish(measurement, save=not quick)
    if not quick:
        _report()
    click.echo(_json(values))


@main.command("report", **_example("python -m bench report"))
def report_command() -> None:
    """Write bench/README.md, and the line of numbers in README.md, from bench/results.json."""
    click.echo(_json({"written": _report()}))


def _report() -> list[str]:
    written = [str(path) for path in report.write()]
    click.echo(f"written: {', '.join(written)}", err=True)
    return written


def _finish(measurement: suite.Measurement, *, save: bool) -> dict[str, object]:
    values = measurement.run(measurement.plan)
    if save:
        command = results.command(measurement.command, measurement.plan)
        results.save(measurement.key, command, values)
    click.echo(_json(values))
    return values


def _json(values: object) -> bytes:
    return orjson.dumps(values, option=orjson.OPT_NON_STR_KEYS)


if __name__ == "__main__":
    main()
