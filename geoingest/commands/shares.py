"""Shares are looked at and ended by hand here."""

from __future__ import annotations

import click

from geoingest import config, db
from geoingest.access import shares
from geoingest.commands import databases, options, tables


@click.group("share")
def share_group() -> None:
    """Look at the shares of a student, or end one."""


@share_group.command("list", **options.example("geoingest share list --student 17"))
@click.option("--student", required=True, type=options.STUDENT, help="Whose.")
@click.pass_obj
def share_list(settings: config.Config, student: int) -> None:
    """List the shares of a student that have not ended; never their tokens."""
    with db.direct(databases.direct_url(settings)) as connection:
        connection.execute("SET timezone = 'UTC'")
        found = shares.live(connection, student)
    heads = [name.replace("_", " ") for name in shares.Share._fields]
    click.echo(tables.write([heads, *found]))


@share_group.command("revoke", **options.example("geoingest share revoke 5"))
@click.argument("share_id", metavar="ID", type=click.IntRange(1, 2**31 - 1))
@click.pass_obj
def share_revoke(settings: config.Config, share_id: int) -> None:
    """End a share at once, whoever made it."""
    with db.direct(databases.direct_url(settings)) as connection:
        shares.revoke(connection, share_id)
