"""Schools, students and viewers are added by hand here."""

from __future__ import annotations

import pathlib
import sys

import click

from geoingest import config, db
from geoingest.access import provision, roster, schools
from geoingest.commands import databases, logins, options

_SCHOOL = click.IntRange(1, 2**31 - 1)
_VIEWER = click.IntRange(1, 2**31 - 1)


@click.command(
    "provision", **options.example("geoingest provision --students 3500 --csv school.csv")
)
@click.option("--students", required=True, type=click.IntRange(1, 10_000_000), help="How many.")
@click.option(
    "--csv",
    "path",
    type=click.Path(path_type=pathlib.Path, dir_okay=False),
    help="New file for the tokens; stdout without it.",
)
@click.option(
    "--school", type=_SCHOOL, help="The school they go to; without it their days are UTC's."
)
@click.pass_obj
def provision_command(
    settings: config.Config, students: int, path: pathlib.Path | None, school: int | None
) -> None:
    """Add students with a device and a viewer each; their tokens are shown this once."""
    with db.direct(databases.direct_url(settings)) as connection, connection.transaction():
        enrolled = provision.bulk(connection, students, school_id=school)
        # Written before the commit: no token may be valid that nobody has.
        if path is None:
            roster.write(sys.stdout, enrolled)
        else:
            with roster.create(path) as file:
                roster.write(file, enrolled)
    click.echo(f"{len(enrolled)} students added", err=True)


@click.group("viewer")
def viewer_group() -> None:
    """Add or revoke one viewer, set its password, log it out."""


@viewer_group.command("add", **options.example("geoingest viewer add --students 1,2,3"))
@click.option("--students", help="Whom the viewer may see: 1,2,3 or all.")
@click.option(
    "--role",
    type=click.Choice(["guardian", "staff", "admin"]),
    help="What the viewer is; without it staff for all students, else a guardian.",
)
@click.option(
    "--external-id", type=options.ExternalId(), help="The school platform's own id of the viewer."
)
@click.pass_obj
def viewer_add(
    settings: config.Config, students: str | None, role: str | None, external_id: str | None
) -> None:
    """Add a viewer; prints its id and token, tab-separated.

    An admin may also change the directory and read who looked; it needs no students.
    """
    if students is None and role != "admin":
        raise click.UsageError("--students is needed: 1,2,3 or all")
    wanted = [] if students is None else _ids(students)
    with db.direct(databases.direct_url(settings)) as connection:
        viewer_id, token = provision.add_viewer(
            connection, wanted, role=role, external_id=external_id
        )
    click.echo(f"{viewer_id}\t{token}")


@viewer_group.command("revoke", **options.example("geoingest viewer revoke 17"))
@click.argument("viewer", type=_VIEWER)
@click.pass_obj
def viewer_revoke(settings: config.Config, viewer: int) -> None:
    """Revoke a viewer, with token, password, sessions and shares; nothing is shown to it any more."""
    with db.direct(databases.direct_url(settings)) as connection:
        provision.revoke_viewer(connection, viewer)


viewer_group.add_command(logins.password_command)
viewer_group.add_command(logins.logout_command)


@click.group("school")
def school_group() -> None:
    """Add one school."""


@school_group.command("add", **options.example("geoingest school add --time-zone Europe/Berlin"))
@click.option("--time-zone", required=True, help="Where its days begin: a name as Europe/Berlin.")
@click.pass_obj
def school_add(settings: config.Config, time_zone: str) -> None:
    """Add a school; prints its id."""
    with db.direct(databases.direct_url(settings)) as connection:
        click.echo(schools.add(connection, time_zone))


@click.group("student")
def student_group() -> None:
    """Put students into a school."""


@student_group.command(
    "move", **options.example("geoingest student move --school 1 --students all")
)
@click.option("--school", required=True, type=_SCHOOL, help="Where they go from now on.")
@click.option("--students", required=True, help="Who: 1,2,3 or all.")
@click.pass_obj
def student_move(settings: config.Config, school: int, students: str) -> None:
    """Put students into a school; hours and days that are rolled up already stay as they are."""
    wanted = _ids(students)
    with db.direct(databases.direct_url(settings)) as connection:
        moved = schools.move(connection, school, wanted)
    click.echo(f"{moved} students moved", err=True)


def _ids(text: str) -> list[int] | None:
    if text == "all":
        return None
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() and 0 < int(part) < 2**63 for part in parts):
        raise click.UsageError("--students: numbers as 1,2,3 or the word all")
    return [int(part) for part in parts]
