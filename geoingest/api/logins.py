"""Logging in and out, and what a viewer has of its own."""

from __future__ import annotations

from geoingest import http
from geoingest.access import login_endpoints as shapes
from geoingest.api import words
from geoingest.operations import openapi

_BODY = {
    400: "The body is not JSON, or not what is asked for",
    408: "The body did not arrive in time",
    413: "The body is too large",
}
_OWN = {401: words.UNAUTHENTICATED, 429: words.TOO_OFTEN, 503: words.AWAY}
_TRIES = "Too many tries of this account or address: come again after Retry-After seconds"

OPERATIONS = (
    openapi.Operation(
        "post",
        "/v1/login",
        "Log in",
        None,
        {http.JSON: openapi.reference(shapes.LoginAnswer)},
        {
            **_BODY,
            401: "Wrong e-mail or password: the same for both, in body and time",
            429: _TRIES,
            503: words.AWAY,
        },
        body={http.JSON: openapi.reference(shapes.LoginBody)},
        words="Logged in: the token is shown this once, and is a viewer's bearer token",
    ),
    openapi.Operation(
        "post",
        "/v1/logout",
        "Log out",
        "viewer",
        {},
        {**_OWN, 401: "No session"},
        words="The session has ended, on every process",
    ),
    openapi.Operation(
        "get",
        "/v1/sessions",
        "Get own sessions",
        "viewer",
        {http.JSON: openapi.reference(shapes.SessionsAnswer)},
        _OWN,
    ),
    openapi.Operation(
        "delete",
        "/v1/sessions",
        "Log out everywhere",
        "viewer",
        {},
        _OWN,
        words="All sessions of this viewer have ended, on every process",
    ),
    openapi.Operation(
        "post",
        "/v1/password",
        "Change own password",
        "viewer",
        {},
        {
            **_BODY,
            400: "The body is not JSON, not what is asked for, or the new password is too weak",
            401: "No session, or the old password is wrong",
            429: f"{words.TOO_OFTEN}; or: {_TRIES.lower()}",
            503: words.AWAY,
        },
        body={http.JSON: openapi.reference(shapes.PasswordBody)},
        words="It is the new one from now on; all other sessions of this viewer have ended",
    ),
)

SHAPES = (
    shapes.LoginBody,
    shapes.LoginAnswer,
    shapes.SessionsAnswer,
    shapes.PasswordBody,
)
