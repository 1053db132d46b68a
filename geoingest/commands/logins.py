"""What a viewer logs in with is set by hand here, and sessions are ended."""

from __future__ import annotations

import sys

import click

from geoingest import config, db
from geoingest.access import accounts, sessions
from geoingest.commands import databases, options

_VIEWER = click.IntRange(1, 2**31 - 1)


@click.command(
    "password",
    **options.example("geoingest viewer password 17 --email kim@example.org"),
)
@click.argument("viewer", type=_VIEWER)
@click.option("--email", help="What the viewer logs in with; without it, it stays as it is.")
@click.pass_obj
def password_command(settings: config.Config, viewer: int, email: str | None) -> None:
    """Set a viewer's password, and end all of its sessions.

    The password is asked for twice on a terminal; elsewhere it is the first line of stdin. It is
    never an argument, which others on the machine could see.
    """
    password = _password()
    with db.direct(databases.direct_url(settings)) as connection:
        ended = accounts.set_password(connection, viewer, email, password)
    click.echo(f"password set, {ended} sessions ended", err=True)


@click.command("logout", **options.example("geoingest viewer logout 17"))
@click.argument("viewer", type=_VIEWER, required=False)
@click.option("--all", "everybody", is_flag=True, help="Every viewer.")
@click.pass_obj
def logout_command(settings: config.Config, viewer: int | None, everybody: bool) -> None:
    """End all sessions of a viewer, at once."""
    if (viewer is None) == (not everybody):
        raise click.UsageError("give a viewer or --all")
    with db.direct(databases.direct_url(settings)) as connection:
        ended = (
            sessions.end_of_all(connection)
            if viewer is None
            else sessions.end_of_viewer(connection, viewer)
        )
    click.echo(f"{ended} sessions ended", err=True)


def _password() -> str:
    if sys.stdin.isatty():
        asked: str = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
        return asked
    return sys.stdin.readline().rstrip("\r\n")
