"""What is held of a student is written for a guardian here."""

from __future__ import annotations

import dataclasses
import pathlib

import click

from geoingest import config, db
from geoingest.commands import bundle, databases, options
from geoingest.lifecycle import archive


@click.command("export", **options.example("geoingest export --student 17 --output 17.zip"))
@click.option("--student", required=True, type=options.STUDENT, help="Whose data.")
@click.option(
    "--output",
    "path",
    required=True,
    type=click.Path(path_type=pathlib.Path, dir_okay=False),
    help="New ZIP file, for its owner's eyes.",
)
@options.archived
@click.pass_obj
def export_command(
    settings: config.Config, student: int, path: pathlib.Path, archive_dir: str | None
) -> None:
    """Write everything that is held of a student into a ZIP of JSON and GPX.

    Its README.txt says what each file is. No token, digest or key is in it.
    """
    found = databases.require(settings)
    if archive_dir is not None:
        found = dataclasses.replace(found, archive_dir=archive_dir)
    archive.check(found)
    folder = pathlib.Path(found.archive_dir) if found.archive_dir else None
    with db.direct(found.direct_url) as connection:
        bundle.write(connection, student, path, archive_dir=folder)
    click.echo(f"{path} written", err=True)
