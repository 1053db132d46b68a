"""Devices are added, given a new token and revoked by hand here."""

from __future__ import annotations

import datetime

import click

from geoingest import config, db
from geoingest.access import provision
from geoingest.commands import databases, options

_DEVICE = click.IntRange(1, 2**31 - 1)


@click.group("device")
def device_group() -> None:
    """Add, rotate or revoke one device."""


@device_group.command("add", **options.example("geoingest device add --student 17"))
@click.option("--student", type=click.IntRange(1, 2**63 - 1), help="Whose positions it reports.")
@click.option("--gateway", is_flag=True, help="A bus unit: names the student in each ping.")
@click.pass_obj
def device_add(settings: config.Config, student: int | None, gateway: bool) -> None:
    """Add a device; prints its id and token, tab-separated."""
    if (student is None) == (not gateway):
        raise click.UsageError("give --student ID or --gateway")
    with db.direct(databases.direct_url(settings)) as connection:
        device_id, token = provision.add_device(connection, student)
    click.echo(f"{device_id}\t{token}")


@device_group.command("rotate", **options.example("geoingest device rotate 17 --overlap 7d"))
@click.argument("device", type=_DEVICE)
@click.option(
    "--overlap",
    type=options.Duration(),
    default="7d",
    show_default=True,
    help="How long the token before is accepted, too; 0s: no longer.",
)
@click.pass_obj
def device_rotate(settings: config.Config, device: int, overlap: datetime.timedelta) -> None:
    """Give a device a new token; prints its id and the token, tab-separated.

    Both tokens are accepted until the overlap ends, by the clock of the database, then within 5
    seconds only the new one. There is one token before at a time: to rotate again during an overlap
    ends the oldest at once.
    """
    with db.direct(databases.direct_url(settings)) as connection:
        token, until = provision.rotate_device(connection, device, overlap=overlap)
    click.echo(f"{device}\t{token}")
    if until is None:
        click.echo("the token before stops working within 5 seconds", err=True)
    else:
        ends_at = until.astimezone(datetime.UTC)
        click.echo(f"the token before works until {ends_at:%Y-%m-%dT%H:%M:%SZ}", err=True)


@device_group.command("revoke", **options.example("geoingest device revoke 17"))
@click.argument("device", type=_DEVICE)
@click.pass_obj
def device_revoke(settings: config.Config, device: int) -> None:
    """Revoke a device; its tokens stop working within 5 seconds."""
    with db.direct(databases.direct_url(settings)) as connection:
        provision.revoke_device(connection, device)
