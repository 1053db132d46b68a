"""A student is erased by hand here, and again after a restore."""

from __future__ import annotations

import dataclasses
import sys

import click

from geoingest import config, db
from geoingest.commands import databases, options, tables
from geoingest.lifecycle import archive, erasure, traces


@click.command("erase", **options.example("geoingest erase --student 17 --yes"))
@click.option("--student", type=options.STUDENT, help="Whom to erase.")
@click.option("--replay", is_flag=True, help="Erase again whoever is in the ledger and is back.")
@click.option("--yes", is_flag=True, help="Do not ask; needed where no terminal is.")
@options.archived
@click.pass_obj
def erase_command(
    settings: config.Config, student: int | None, replay: bool, yes: bool, archive_dir: str | None
) -> None:
    """Remove everything held of a student, for good; prints how much it was.

    Pings, hours, days, rejects, archived days, devices, the student, and guardians who could see nobody
    else; the record of who looked stays, it holds no position. It takes a minute, and services may run
    meanwhile. Safe to repeat after a failure.

    A restored copy of the database, or of the archive, knows nothing of later erasures: run --replay
    before any service is started on it.
    """
    if (student is None) == (not replay):
        raise click.UsageError("give --student ID or --replay")
    if student is not None and not yes and not sys.stdin.isatty():
        raise click.UsageError("--yes is needed where nobody can be asked")
    found = databases.require(settings)
    if archive_dir is not None:
        found = dataclasses.replace(found, archive_dir=archive_dir)
    archive.check(found)
    if student is None:
        _replay(found)
    else:
        _erase(found, student, is_sure=yes)


def _erase(settings: config.Config, student_id: int, *, is_sure: bool) -> None:
    if not is_sure:
        click.confirm(f"Erase student {student_id} for good?", abort=True, err=True)
    _name_what_is_left_out(settings)
    with db.direct(settings.direct_url) as connection:
        erased = erasure.erase(connection, settings, student_id, tell=_tell)
    _tell("")
    _print([erased])
    if not any(erased[1:]):
        click.echo(f"nothing was held of student {student_id} any more", err=True)


def _replay(settings: config.Config) -> None:
    _name_what_is_left_out(settings)
    with db.direct(settings.direct_url) as connection:
        done = erasure.replay(connection, settings, tell=_tell)
    _tell("")
    if done.erased:
        _print(done.erased)
    words = f"students in the ledger: {done.students}, erased again: {len(done.erased)}"
    click.echo(words, err=True)
    for student_id in done.spared:
        click.echo(f"student {student_id} was added later and stays", err=True)
    for number in done.unreadable:
        click.echo(f"{settings.ledger}: line {number} cannot be read", err=True)
    if done.unreadable:
        sys.exit(1)


def _print(erased: list[traces.Erased]) -> None:
    heads = [name.replace("_", " ") for name in traces.Erased._fields]
    click.echo(tables.write([heads, *([str(cell) for cell in one] for one in erased)]))


def _name_what_is_left_out(settings: config.Config) -> None:
    if not settings.archive_dir:
        click.echo("no archive is named, so none is looked through: --archive DIR", err=True)


def _tell(words: str) -> None:
    """Where it is, on one line of a terminal; the empty one takes the line away."""
    if sys.stderr.isatty():
        click.echo(f"\r\x1b[K{words}", nl=False, err=True)
