"""Schools, classes and people are put into the directory from a file here."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from typing import IO

import click

from geoingest import config, db, errors
from geoingest.access import directory, directory_load, directory_reading
from geoingest.commands import databases, options


@click.group("directory")
def directory_group() -> None:
    """Say who there is, and who may see whom."""


@directory_group.command(
    "load", **options.example("geoingest directory load students --file students.csv")
)
@click.argument("kind", type=click.Choice(list(directory.KINDS)))
@click.option(
    "--file",
    "path",
    required=True,
    type=click.Path(allow_dash=True, dir_okay=False),
    help="CSV or NDJSON; - for stdin.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["csv", "ndjson"]),
    help="Without it the file's name says: .csv, or NDJSON.",
)
@click.pass_obj
def directory_load_command(
    settings: config.Config, kind: str, path: str, form: directory_reading.Form | None
) -> None:
    """Put a file into the directory, or nothing of it; prints how many were added and changed.

    What PUT /v1/admin/… takes, without its limits. With bad lines nothing is changed: they are named on
    stderr, and the exit code is 1.
    """
    if form is None:
        form = "csv" if path.lower().endswith(".csv") else "ndjson"
    with _opened(path) as file, db.direct(databases.direct_url(settings)) as connection:
        done = directory_load.put(connection, kind, form, file)
    if isinstance(done, directory.Report):
        click.echo(
            f"lines: {done.lines}, added: {done.added}, changed: {done.changed},"
            f" unchanged: {done.unchanged}"
        )
        return
    for one in done.bad_lines:
        field = f" {one.field}" if one.field else ""
        click.echo(f"line {one.line}: {one.reason}{field}", err=True)
    click.echo(f"geoingest: bad lines: {done.bad}, nothing was changed", err=True)
    sys.exit(1)


def _opened(path: str) -> AbstractContextManager[IO[bytes]]:
    try:
        return click.open_file(path, "rb")
    except OSError as exc:
        raise errors.LocalError(f"cannot read {path}: {exc.strerror}") from exc
