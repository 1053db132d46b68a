"""Devices are added, given a new token and revoked by hand here."""

from __future__ import annotations

import datetime
import sys

import click

from geoingest import config, db
from geoingest.access import passphrases, provision, schools
from geoingest.commands import cards, databases, options

_DEVICE = click.IntRange(1, 2**31 - 1)


@click.group("device")
def device_group() -> None:
    """Add, rotate or revoke one device."""


@device_group.command("add", **options.example("geoingest device add --student 17 --app traccar"))
@click.option("--student", type=click.IntRange(1, 2**63 - 1), help="Whose positions it reports.")
@click.option(
    "--external-id", type=options.ExternalId(), help="The same by the school platform's own id."
)
@click.option("--gateway", is_flag=True, help="A bus unit: names the student in each ping.")
@click.option(
    "--app", type=click.Choice(list(cards.CARDS)), help="Say what to type into this app, on stderr."
)
@click.option(
    "--url",
    type=options.Address(),
    help="With --app: where phones reach the service, as https://pings.example.org;"
    " default: that of GEOINGEST_HOST and GEOINGEST_PORT.",
)
@click.option("--encrypted", is_flag=True, help="With --app owntracks: a passphrase of its own.")
@click.option("--qr", is_flag=True, help="With --app: draw the QR code also where no terminal is.")
@click.pass_obj
def device_add(
    settings: config.Config,
    *,
    student: int | None,
    external_id: str | None,
    gateway: bool,
    app: str | None,
    url: str | None,
    encrypted: bool,
    qr: bool,
) -> None:
    """Add a device; prints its id and token, tab-separated.

    With --app a card on stderr says what to type into the app, and where the app takes one, shows a
    link to tap on the phone and its QR code. Whoever has the card can post as this device.
    """
    if [student is not None, external_id is not None, gateway].count(True) != 1:
        raise click.UsageError("give --student ID, --external-id ID or --gateway")
    if app is None and (url or encrypted or qr):
        raise click.UsageError("--url, --encrypted and --qr need --app")
    if app is not None and gateway:
        raise click.UsageError("--app: no app names the student, as a gateway has to")
    if encrypted and app != "owntracks":
        raise click.UsageError("--encrypted: only --app owntracks can")
    passphrase = passphrases.create() if encrypted else None
    key = passphrases.owntracks_key(passphrase) if passphrase else None
    with db.direct(databases.direct_url(settings)) as connection:
        if external_id is not None:
            student = schools.student_of(connection, external_id)
        device_id, token = provision.add_device(connection, student, owntracks_key=key)
    click.echo(f"{device_id}\t{token}")
    if app is not None and student is not None:
        address = url or f"http://{settings.host}:{settings.port}"
        given = cards.Given(address, student, device_id, token, passphrase)
        _show(cards.CARDS[app](given), qr=qr or sys.stderr.isatty())
        _advise(url)


@device_group.command("rotate", **options.example("geoingest device rotate 17 --overlap 7d"))
@click.argument("device", type=_DEVICE)
@click.option(
    "--overlap",
    type=options.Duration(),
    metavar="90s|30m|12h|7d",
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


def _show(card: cards.Card, *, qr: bool) -> None:
    for line in cards.lines(card):
        click.echo(line, err=True)
    if card.link is not None and qr:
        for line in cards.drawing(card.link):
            # As paper is, whatever the terminal's colours are; click leaves them out elsewhere.
            click.echo(click.style(line, fg="bright_white", bg="black"), err=True)


def _advise(url: str | None) -> None:
    if url is None:
        words = "Phones need an address that they can reach, with TLS; give it by --url."
    elif url.startswith("http:"):
        words = "Without TLS others on the way can read the token and every position."
    else:
        return
    click.echo(words, err=True)
