"""What a card says, typed into an app or opened as a link, makes the app post here."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import pty
import re
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Mapping
from typing import Any, NamedTuple

import pytest

from geoingest.access import passphrases
from geoingest.commands import cards
from geoingest.ingest import apps
from tests import commands, conftest, processes

PLACE = (52.5, 13.25)
STUDENT = 17
LINKS = sorted(set(cards.CARDS) - {"gpslogger"})
LINE = re.compile(r"^(\d+)\t(gi_dev_[\w-]{43})\n$")


class _Setup(NamedTuple):
    """What an app has to know, however it learned it."""

    url: str
    token: str
    user: str = ""
    secret: str | None = None


class _Added(NamedTuple):
    """What `device add --app` printed, read as a person and as a script would."""

    device_id: int
    token: str
    fields: Mapping[str, str]
    link: str | None
    stderr: str


def _add(app: str, *options: str, database: conftest.Database) -> _Added:
    result = commands.run(
        *("device", "add", "--student", str(STUDENT), "--app", app, *options), database=database
    )
    assert result.exit_code == 0, result.stderr
    printed = LINE.match(result.stdout)
    assert printed is not None, "stdout is `id<TAB>token` and a line's end"
    fields = dict(re.findall(r"^  (\S.*?)  +(\S.*)$", result.stderr, re.MULTILINE))
    link = re.search(r"^  (\S+://\S+)$", result.stderr, re.MULTILINE)
    return _Added(
        int(printed[1]), printed[2], fields, None if link is None else link[1], result.stderr
    )


def _typed(app: str, fields: Mapping[str, str]) -> _Setup:
    """Label by label, as the app shows them."""
    match app:
        case "traccar":
            return _Setup(fields["Server URL"], fields["Device identifier"])
        case "owntracks":
            assert (fields["Mode"], fields["Authentication (only iOS)"]) == ("HTTP", "on")
            secret = fields.get("Secret encryption key (Android: Encryption Key)")
            user = fields["UserID (Android: Username)"]
            return _Setup(fields["URL"], fields["Password"], user, secret)
        case "overland":
            return _Setup(fields["Receiver Endpoint URL"], fields["Access Token"])
        case "gpslogger":
            assert (fields["Log to custom URL"], fields["HTTP Method"]) == ("on", "GET")
            return _Setup(fields["URL"], "")
        case _:
            assert fields["Authentication"] == "Bearer Token"
            return _Setup(fields["Server Endpoint"], fields["Token"])


def _opened(app: str, link: str) -> _Setup:
    """As the app's own code takes its link apart; a plus would be a space to some of them."""
    parts = urllib.parse.urlsplit(link)
    assert "+" not in parts.query
    query = dict(urllib.parse.parse_qsl(parts.query, strict_parsing=True))
    match app:
        case "traccar":
            assert (parts.scheme, parts.netloc) == ("org.traccar.client", "config")
            return _Setup(query["url"], query["id"])
        case "owntracks":
            assert (parts.scheme, parts.netloc, parts.path) == ("owntracks", "", "/config")
            made = _unpacked(query["inline"])
            assert (made["_type"], made["mode"], made["auth"]) == ("configuration", 3, True)
            assert re.fullmatch(r"\w{1,2}", made["tid"])
            assert made["deviceId"]
            return _Setup(
                made["url"], made["password"], made["username"], made.get("encryptionKey")
            )
        case "overland":
            assert (parts.scheme, parts.netloc) == ("overland", "setup")
            return _Setup(query["url"], query["token"])
        case _:
            assert (parts.scheme, parts.netloc) == ("colota", "setup")
            made = _unpacked(query["config"])
            assert (made["apiTemplate"], made["auth"]["type"]) == ("overland", "bearer")
            assert made["syncInterval"] > 0
            return _Setup(made["endpoint"], made["auth"]["bearerToken"])


def _unpacked(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(base64.b64decode(text, validate=True))
    return found


def _request(app: str, setup: _Setup, at: int) -> dict[str, Any]:
    """One fix as the app sends it with this setup."""
    latitude, longitude = PLACE
    fix = f"lat={latitude}&lon={longitude}&timestamp={at}"
    match app:
        case "traccar":
            form = {"Content-Type": "application/x-www-form-urlencoded; charset=UTF-8"}
            body = f"id={urllib.parse.quote_plus(setup.token)}&{fix}"
            return {"method": "POST", "url": setup.url, "data": body, "headers": form}
        case "owntracks":
            user = base64.b64encode(f"{setup.user}:{setup.token}".encode()).decode()
            basic = {"Authorization": f"Basic {user}"}
            message = {"_type": "location", "lat": latitude, "lon": longitude, "tst": at}
            return {"method": "POST", "url": setup.url, "json": message, "headers": basic}
        case "gpslogger":
            return {"method": "GET", "url": setup.url.replace("%ALL", f"{fix}&acc=&ser=&")}
        case _:
            moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
            point = {"type": "Point", "coordinates": [longitude, latitude]}
            feature = {"type": "Feature", "geometry": point, "properties": {"timestamp": moment}}
            bearer = {"Authorization": f"Bearer {setup.token}"}
            batch = {"locations": [feature]}
            return {"method": "POST", "url": setup.url, "json": batch, "headers": bearer}


async def _post(running: conftest.Running, request: Mapping[str, Any]) -> int:
    async with running.client.session.request(**request, allow_redirects=False) as answer:
        return answer.status


def test_every_app_has_a_card() -> None:
    """Also those that speak another app's protocol; the address is always one that is served."""
    paths = {app.path for app in apps.APPS}
    assert set(cards.CARDS) >= {app.name for app in apps.APPS}
    for name, card in cards.CARDS.items():
        made = card(cards.Given("https://pings.example.org", STUDENT, 3551, "gi_dev_x"))
        address = _typed(name, dict(made.fields)).url
        assert urllib.parse.urlsplit(address).path in paths


@pytest.mark.parametrize("app", cards.CARDS)
async def test_what_a_card_says_works(
    running: conftest.Running, database: conftest.Database, app: str
) -> None:
    """Typed into the app's fields, and opened as its link, which says the same: a fix is stored."""
    url = str(running.client.make_url("/"))
    added = _add(app, "--url", url, database=database)
    await running.service.credentials.refresh()
    setups = [_typed(app, added.fields)]
    if added.link is not None:
        setups.append(_opened(app, added.link))

    now = int(time.time())
    statuses = [
        await _post(running, _request(app, setup, now - at)) for at, setup in enumerate(setups)
    ]

    assert statuses == [200] * len(setups)
    assert len(set(setups)) == 1
    rows = "SELECT student_id, device_id, latitude, longitude FROM geolocation_data"
    assert database.query(rows) == [(STUDENT, added.device_id, *PLACE)] * len(setups)
    assert (added.link is not None) == (app in LINKS)


def test_an_encrypted_device_is_told_its_passphrase(database: conftest.Database) -> None:
    """On the card and in the link, once; the database has the key that OwnTracks makes of it."""
    added = _add("owntracks", "--encrypted", database=database)
    plain = _add("owntracks", database=database)

    assert added.link is not None
    secret = _typed("owntracks", added.fields).secret
    assert secret is not None
    assert _opened("owntracks", added.link).secret == secret
    keys = "SELECT owntracks_key FROM devices WHERE device_id = $1"
    key = passphrases.owntracks_key(secret)
    assert database.query(keys, added.device_id) == [(key,)]
    assert database.query(keys, plain.device_id) == [(None,)]
    assert _typed("owntracks", plain.fields).secret is None


@pytest.mark.parametrize("app", LINKS)
def test_the_qr_code_is_drawn_when_asked_for(database: conftest.Database, app: str) -> None:
    """Without colours where no terminal is; not at all without --qr."""
    drawn = _add(app, "--qr", database=database)
    plain = _add(app, database=database)

    assert drawn.link is not None
    assert "\n".join(cards.drawing(drawn.link)) in drawn.stderr
    assert not re.search("[\u2580-\u259f]", plain.stderr)
    assert "\N{ESCAPE}" not in drawn.stderr + plain.stderr


def test_a_terminal_shows_the_qr_code(database: conftest.Database) -> None:
    """As dark on light whatever its colours are, narrower than 80 columns; stdout is for scripts."""
    master, slave = pty.openpty()
    with subprocess.Popen(
        [
            *(sys.executable, "-m", "geoingest", "device", "add", "--student", "17"),
            *("--app", "owntracks", "--encrypted", "--url", "https://pings.example.org"),
        ],
        env={**processes.plain_environment(), **processes.urls(database)},
        cwd=processes.ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=slave,
        text=True,
    ) as command:
        os.close(slave)
        shown = b""
        # Once the command has ended, nobody has the other end.
        with contextlib.suppress(OSError):
            while piece := os.read(master, 4096):
                shown += piece
        printed, _ = command.communicate()
    os.close(master)

    assert LINE.match(printed)
    drawn = re.findall(
        "\N{ESCAPE}\\[97m\N{ESCAPE}\\[40m([^\N{ESCAPE}]+)\N{ESCAPE}\\[0m", shown.decode()
    )
    assert len(drawn) > 20
    assert {len(line) for line in drawn} == {len(drawn[0])}
    assert len(drawn[0]) < 80


@pytest.mark.parametrize(
    ("options", "host", "words"),
    [
        ((), "http://127.0.0.1:8080", "Phones need an address that they can reach"),
        (("--url", "http://10.0.0.7:8080/"), "http://10.0.0.7:8080", "Without TLS others"),
        (("--url", "https://example.org/geo/"), "https://example.org/geo", None),
    ],
)
def test_the_address_is_what_phones_can_reach(
    database: conftest.Database, options: tuple[str, ...], host: str, words: str | None
) -> None:
    """The service's own without --url; a last line says what is wrong with it for a phone."""
    added = _add("traccar", *options, database=database)

    assert added.fields["Server URL"] == f"{host}/v1/traccar"
    last = added.stderr.splitlines()[-1]
    assert last.startswith(words) if words else last.startswith("  org.traccar.client://")
