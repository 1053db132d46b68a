"""The apps that people have, in one table: where each posts, what it sends, what it must hear.

To an app a 4xx means that it sends the same again for ever, or that it throws it away. So whoever is
known hears of success whatever was sent: what cannot be a ping is counted and kept with the rejects.
503 is for what cannot be stored now; every app with a queue keeps it. 401 is for wrong credentials
alone. Never a redirect, never 202, never 429.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from geoingest import errors, http, metrics, ping
from geoingest.ingest import door, intake, posted, sealed, submission
from geoingest.ingest.protocols import colota, gpslogger, message, overland, owntracks, traccar

_OK = b'{"result":"ok"}'
# Where an app has no header for it.
_TOKEN_PARAMETERS = ("token", "id", "deviceid")


class App(NamedTuple):
    """One protocol; `success` is the body that makes the app forget what it sent."""

    name: str
    title: str
    # Some let their users choose: these are told of, all are taken.
    methods: tuple[str, ...]
    decode: Callable[[message.Request], message.Message]
    content_type: str
    success: bytes
    # The same with what makes the app send each so many seconds, where it can be told.
    pace: Callable[[int], bytes] | None = None
    # Stands once in each fix of a batch, to know about how many there are.
    mark: bytes = b""

    @property
    def path(self) -> str:
        """Where its users point it, with or without a slash at the end."""
        return f"/v1/{self.name}"


_TEXT = "text/plain"
_FEATURE = b'"coordinates"'
APPS = (
    App("traccar", "Traccar Client and OsmAnd", ("get", "post"), traccar.decode, _TEXT, b""),
    App("owntracks", "OwnTracks", ("post",), owntracks.decode, http.JSON, b"[]", owntracks.pace),
    App(
        *("overland", "Overland", ("post",), overland.decode, http.JSON, _OK),
        overland.pace,
        _FEATURE,
    ),
    App("gpslogger", "GPSLogger", ("get", "post"), gpslogger.decode, _TEXT, b""),
    App("colota", "Colota", ("post",), colota.decode, http.JSON, _OK, None, _FEATURE),
)


class Door:
    """Where one app posts: any method, as some let their users choose."""

    methods = None
    late = errors.BodyLateError

    def __init__(self, app: App, takes: intake.Intake, *, interval_seconds: int) -> None:
        self.route = app.path
        self.paths = (app.path, f"{app.path}/")
        self._app = app
        self._intake = takes
        paces = app.pace is not None and interval_seconds > 0
        success = app.pace(interval_seconds) if app.pace is not None and paces else app.success
        self._reply = door.Reply(app.content_type, lambda _verdict: success)

    def enter(self, given: posted.Posted) -> ping.Sender | None:
        """Whoever has told a token in a header; None when it can only stand elsewhere."""
        token = given.token()
        return None if token is None else self._sender(token)

    def take(
        self, sender: ping.Sender | None, given: posted.Posted, waiter: submission.Waiter
    ) -> door.Reply:
        """Answers once every accepted ping of the message is committed."""
        size_bytes = len(given.body) + len(given.query)
        fixes = max(1, given.body.count(self._app.mark)) if self._app.mark else 1
        self._intake.check(fixes, size_bytes)
        if fixes > self._intake.max_body_pings:
            return self._take(sender, given, _unreadable(given), waiter)
        return self._take(sender, given, self._decode(sender, given), waiter)

    def take_unread(
        self, sender: ping.Sender | None, given: posted.Posted, waiter: submission.Waiter
    ) -> door.Reply:
        """A success, too: it would come again for ever; that it came is kept with the rejects."""
        self._intake.check(1, 0)
        return self._take(sender, given, _unreadable(given), waiter)

    def _take(
        self,
        sender: ping.Sender | None,
        given: posted.Posted,
        sent: message.Message,
        waiter: submission.Waiter,
    ) -> door.Reply:
        size_bytes = len(given.body) + len(given.query)
        if sender is None:
            sender = self._sender(sent.token or _token_beside(given))
        if sent.ignored:
            metrics.messages_ignored.labels(self._app.name).inc(sent.ignored)
        if not sent.items:
            return self._reply._replace(is_due=True)
        self._intake.take_items(sender, sent.items, size_bytes=size_bytes, waiter=waiter)
        return self._reply

    def _decode(self, sender: ping.Sender | None, given: posted.Posted) -> message.Message:
        request = message.Request(given.query, given.content_type, given.body, time.time())
        try:
            sent = self._app.decode(request)
            if sent.sealed is not None and sender is not None:
                key = self._intake.secret(sender)
                opened = None if key is None else sealed.open(sent.sealed, key)
                return sent if opened is None else self._app.decode(request._replace(body=opened))
        except ValueError:
            return _unreadable(given)
        return sent

    def _sender(self, token: str | None) -> ping.Sender:
        if token is None:
            raise errors.UnauthenticatedError
        try:
            return self._intake.sender(http.digest(token))
        except errors.TooManyRequestsError as exc:
            # An app may throw away what is answered with a 4xx.
            raise errors.OverloadedError from exc


def doors(takes: intake.Intake, *, interval_seconds: int) -> Sequence[door.Door]:
    """A door for each app; an interval above 0 is told to those that can be told."""
    return [Door(app, takes, interval_seconds=interval_seconds) for app in APPS]


def _unreadable(given: posted.Posted) -> message.Message:
    """Whose it is can still be known by what stands around it."""
    return message.Message(None, [_without(_token_beside(given), given.body)])


def _token_beside(given: posted.Posted) -> str | None:
    fields = message.form(given.query)
    return next((fields[name] for name in _TOKEN_PARAMETERS if name in fields), None)


def _without(token: str | None, body: bytes) -> bytes:
    """What quarantine may keep of a body in which the app has put its token, too."""
    return body.replace(token.encode(errors="surrogateescape"), b"") if token else body
