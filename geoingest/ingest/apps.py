"""The apps that people have, in one table: where each posts, what it sends, what it must hear.

To an app a 4xx means that it sends the same again for ever, or that it throws it away. So whoever is
known hears of success whatever was sent: what cannot be a ping is counted and kept with the rejects.
503 is for what cannot be stored now; every app with a queue keeps it. 401 is for wrong credentials
alone. Never a redirect, never 202, never 429.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import functools
import time
from collections.abc import Callable
from typing import NamedTuple

from aiohttp import hdrs, web

from geoingest import errors, http, metrics, ping
from geoingest.ingest import endpoints, intake, submission
from geoingest.ingest.protocols import gpslogger, message, overland, owntracks, traccar


class App(NamedTuple):
    """One protocol; `success` is the body that makes the app forget what it sent."""

    name: str
    title: str
    # Some let their users choose: these are told of, all are taken.
    methods: tuple[str, ...]
    decode: Callable[[message.Request], message.Message]
    content_type: str
    success: bytes

    @property
    def path(self) -> str:
        """Where its users point it, with or without a slash at the end."""
        return f"/v1/{self.name}"


APPS = (
    App("traccar", "Traccar Client and OsmAnd", ("get", "post"), traccar.decode, "text/plain", b""),
    App("owntracks", "OwnTracks", ("post",), owntracks.decode, http.JSON, b"[]"),
    App("overland", "Overland", ("post",), overland.decode, http.JSON, b'{"result":"ok"}'),
    App("gpslogger", "GPSLogger", ("get", "post"), gpslogger.decode, "text/plain", b""),
)


class Endpoints:
    """The handlers of all apps."""

    def __init__(self, takes: intake.Intake) -> None:
        self._intake = takes

    async def post(self, app: App, request: web.Request) -> web.Response:
        """Answers once every accepted ping of the message is committed."""
        body = await endpoints.read(request, seconds=self._intake.terms.body_timeout_seconds)
        given = message.Request(
            request.rel_url.raw_query_string, request.content_type, body, time.time()
        )
        try:
            sent = app.decode(given)
        except ValueError:
            # Whose it is can still be known by what stands around it.
            sent = message.Message(None, [_without(_token(request, None), body)])
        sender = self._sender(_token(request, sent.token))
        metrics.messages_ignored.labels(app.name).inc(sent.ignored)
        if sent.items:
            verdict: asyncio.Future[submission.Verdict] = asyncio.get_running_loop().create_future()
            self._intake.take_items(sender, sent.items, size_bytes=len(body), waiter=verdict)
            await verdict
        return web.Response(body=app.success, content_type=app.content_type)

    def _sender(self, token: str | None) -> ping.Sender:
        if token is None:
            raise errors.UnauthenticatedError
        try:
            return self._intake.sender(http.digest(token))
        except errors.TooManyRequestsError as exc:
            # An app may throw away what is answered with a 4xx.
            raise errors.OverloadedError from exc


def _token(request: web.Request, sent: str | None) -> str | None:
    """Wherever the app can put it: into its message, a bearer token or password, the query."""
    if sent is not None:
        return sent
    kind, _, value = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    if kind.lower() == "bearer":
        return value.strip()
    if kind.lower() == "basic":
        return _password(value.strip())
    return request.query.get("token")


def _without(token: str | None, body: bytes) -> bytes:
    """What quarantine may keep of a body in which the app has put its token, too."""
    return body.replace(token.encode(errors="surrogateescape"), b"") if token else body


def _password(value: str) -> str:
    try:
        text = base64.b64decode(value, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        # Overland in its OwnTracks mode sends the token itself, and a colon.
        return value.rstrip(":")
    return text.partition(":")[2]


def routes(handlers: Endpoints) -> list[web.RouteDef]:
    """The route table of the apps: any method, as GPSLogger and OsmAnd let their users choose."""
    return [
        web.route(hdrs.METH_ANY, path, functools.partial(handlers.post, app))
        for app in APPS
        for path in (app.path, f"{app.path}/")
    ]
