"""Posts: pings of our own phones, and what the apps send."""

from __future__ import annotations

import orjson

from geoingest import http, ping
from geoingest.api import words
from geoingest.ingest import answers, apps
from geoingest.operations import openapi

_ONE_PING = openapi.reference(ping.PingBody)


def _of_app(app: apps.App, method: str) -> openapi.Operation:
    success = orjson.loads(app.success) if app.content_type == http.JSON else app.success.decode()
    return openapi.Operation(
        method,
        app.path,
        f"Post from {app.title}" + (" by GET" if method == "get" else ""),
        "device",
        {app.content_type: {"const": success}},
        {
            400: "The body does not unpack",
            401: "The token is not known: it is the identifier, password or token that the app sends",
            503: words.AWAY,
        },
        words="Stored, or never to be sent again: what is no ping is kept with the rejects",
    )


OPERATIONS = (
    openapi.Operation(
        "post",
        "/v1/pings",
        "Post pings",
        "device",
        {http.JSON: openapi.reference(answers.PingsAnswer)},
        {
            400: "The body is not JSON at all",
            401: words.UNAUTHENTICATED,
            408: "The body did not arrive in time",
            413: "Too many bytes or pings",
            429: "This device posts too often: keep the pings, come again after Retry-After seconds",
            503: words.AWAY,
        },
        body={
            http.JSON: {"anyOf": [_ONE_PING, {"type": "array", "items": _ONE_PING}]},
            "application/x-ndjson": {"type": "string", "description": "one ping per line"},
        },
    ),
    *(_of_app(app, method) for app in apps.APPS for method in app.methods),
)

SHAPES = (ping.PingBody, answers.PingsAnswer)
