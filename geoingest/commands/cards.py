"""Cards: what a person types into an app so that it posts here, under that app's own labels.

Labels and links are those of Traccar Client 10, OwnTracks (Android 2.5, iOS), Overland 1.3, GPSLogger 136
and Colota 1. A link holds the token; so does its QR code.
"""

from __future__ import annotations

import base64
import io
import json
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import segno

# Colota sends batches only where this is not zero.
_COLOTA_SYNC_SECONDS = 60


class Given(NamedTuple):
    """What a card is made of; the address has no slash at its end."""

    address: str
    student_id: int
    device_id: int
    token: str
    passphrase: str | None = None


class Card(NamedTuple):
    """An app, its fields in the order of its screens, and a link that fills them in where it has one."""

    title: str
    fields: list[tuple[str, str]]
    link: str | None = None


def lines(card: Card) -> Iterator[str]:
    """The card as text."""
    width = max(len(label) for label, _ in card.fields)
    yield card.title
    for label, value in card.fields:
        yield f"  {label:{width}}  {value}"
    if card.link is not None:
        yield "Or open this on the phone:"
        yield f"  {card.link}"


def drawing(link: str) -> list[str]:
    """Its QR code, in half blocks: light ones are drawn, dark ones are left out."""
    out = io.StringIO()
    segno.make_qr(link, error="l").terminal(out, border=3, compact=True)
    return out.getvalue().splitlines()


def _traccar(given: Given) -> Card:
    url = f"{given.address}/v1/traccar"
    return Card(
        "Traccar Client, in its settings:",
        [("Server URL", url), ("Device identifier", given.token)],
        f"org.traccar.client://config?{_query(url=url, id=given.token)}",
    )


def _owntracks(given: Given) -> Card:
    url = f"{given.address}/v1/owntracks"
    user, device = f"student{given.student_id}", f"device{given.device_id}"
    initials = f"{given.student_id % 100:02}"
    fields = [
        ("Mode", "HTTP"),
        ("URL", url),
        ("Authentication (only iOS)", "on"),
        ("UserID (Android: Username)", user),
        ("Password", given.token),
        ("DeviceID", device),
        ("TrackerID", initials),
    ]
    configuration: dict[str, object] = {
        "_type": "configuration",
        "mode": 3,
        "url": url,
        # Off by default on iOS; without it no password is sent.
        "auth": True,
        "username": user,
        "password": given.token,
        "deviceId": device,
        "tid": initials,
    }
    if given.passphrase is not None:
        fields.append(("Secret encryption key (Android: Encryption Key)", given.passphrase))
        configuration["encryptionKey"] = given.passphrase
    link = f"owntracks:///config?{_query(inline=_packed(configuration))}"
    return Card("OwnTracks, in its preferences:", fields, link)


def _overland(given: Given) -> Card:
    url, device = f"{given.address}/v1/overland", str(given.device_id)
    return Card(
        "Overland, in its settings:",
        [("Receiver Endpoint URL", url), ("Access Token", given.token), ("Device ID", device)],
        f"overland://setup?{_query(url=url, token=given.token, device_id=device)}",
    )


def _gpslogger(given: Given) -> Card:
    return Card(
        "GPSLogger, in Logging details, Log to custom URL:",
        [
            ("Log to custom URL", "on"),
            ("URL", f"{given.address}/v1/gpslogger?token={given.token}&%ALL"),
            ("HTTP Method", "GET"),
        ],
    )


def _colota(given: Given) -> Card:
    url = f"{given.address}/v1/colota"
    configuration = {
        "endpoint": url,
        "apiTemplate": "overland",
        "syncInterval": _COLOTA_SYNC_SECONDS,
        "auth": {"type": "bearer", "bearerToken": given.token},
    }
    return Card(
        "Colota, in its settings:",
        [
            ("Server Endpoint", url),
            ("Backend Template", "Overland"),
            ("Sync Interval", f"{_COLOTA_SYNC_SECONDS} s, not instant"),
            ("Authentication", "Bearer Token"),
            ("Token", given.token),
        ],
        f"colota://setup?{_query(config=_packed(configuration))}",
    )


CARDS: Mapping[str, Callable[[Given], Card]] = {
    "traccar": _traccar,
    "owntracks": _owntracks,
    "overland": _overland,
    "gpslogger": _gpslogger,
    "colota": _colota,
}


def _query(**parameters: str) -> str:
    # Not every app takes a plus for a space.
    return urllib.parse.urlencode(parameters, quote_via=urllib.parse.quote, safe="")


def _packed(configuration: Mapping[str, object]) -> str:
    return base64.b64encode(json.dumps(configuration, separators=(",", ":")).encode()).decode()
