"""The ways in which a phone can send its fixes: our own and those of the apps, as requests in which a token fits."""

from __future__ import annotations

import base64
import random
from collections.abc import Callable, Sequence
from typing import NamedTuple

from bench import bodies, ingest, letters

BATCH_PINGS = 200


class Dialect(NamedTuple):
    """What is written, the end of the answer that takes it, and what tells whose it is."""

    name: str
    title: str
    write: Callable[[Sequence[letters.Fix]], letters.Letter]
    ending: bytes
    pings: int = 1
    credential: Callable[[str], str] = str

    def parts(self, instants_ms: Sequence[int], *, port: int, token: str) -> list[bytes]:
        """What stands around the credential; any token as long as this one fits."""
        chooser = random.Random(instants_ms[0])
        line, headers, body = self.write(
            [letters.Fix(one // 1000, *bodies.reading(chooser)) for one in instants_ms]
        )
        head = [f"{line} HTTP/1.1", f"Host: 127.0.0.1:{port}", *headers]
        if not line.startswith("GET"):
            longer = len(self.credential(token)) - len(letters.SLOT)
            head.append(f"Content-Length: {len(body) + body.count(letters.SLOT) * longer}")
        return "\r\n".join([*head, "", body]).encode().split(letters.SLOT.encode())


def _password(token: str) -> str:
    return base64.b64encode(f"jane:{token}".encode()).decode()


NATIVE = Dialect("native", "POST /v1/pings, one", letters.native, ingest.STORED)
NATIVE_BATCH = Dialect(
    "native_200",
    f"POST /v1/pings, {BATCH_PINGS}",
    letters.native,
    b'"stored":%d,"duplicate":0,"rejected":[]}' % BATCH_PINGS,
    BATCH_PINGS,
)
OVERLAND_BATCH = Dialect(
    "overland_200", f"Overland, {BATCH_PINGS}", letters.overland, b'{"result":"ok"}', BATCH_PINGS
)
GPSLOGGER = Dialect("gpslogger", "GPSLogger, %ALL", letters.gpslogger, b"")
# One ping per request, as nearly all of them do.
APPS = (
    Dialect("traccar_query", "Traccar Client up to 8, query", letters.traccar_query, b""),
    Dialect("traccar_form", "Traccar Client 10, form", letters.traccar_form, b""),
    Dialect("traccar_json", "Traccar Client 9, JSON", letters.traccar_json, b""),
    Dialect("owntracks", "OwnTracks", letters.owntracks, b"[]", credential=_password),
    Dialect("overland", "Overland, one", letters.overland, b'{"result":"ok"}'),
    GPSLOGGER,
)
