"""Shares: one student for somebody else, for a while."""

from __future__ import annotations

from geoingest import http
from geoingest.access import sharing
from geoingest.api import words
from geoingest.operations import openapi

_OF_STUDENT = "/v1/students/{student_id}/shares"
_UNSEEN = "No such student for you, or not in full"

OPERATIONS = (
    openapi.Operation(
        "post",
        _OF_STUDENT,
        "Make a share of a student",
        "viewer",
        {http.JSON: openapi.reference(sharing.MadeAnswer)},
        {
            400: "The body is not JSON, or says no end within 30 days",
            401: words.UNAUTHENTICATED,
            404: _UNSEEN,
            408: "The body did not arrive in time",
            409: "You have as many shares of this student as one may have",
            413: "Too many bytes",
            503: words.AWAY,
        },
        parameters=[words.path_student()],
        body={http.JSON: openapi.reference(sharing.ShareBody)},
        words="Whoever has the token may ask for this student's location and track, from a day before the"
        " share was made, until it ends and for as long as you see the student. It is told this once.",
        status=201,
    ),
    openapi.Operation(
        "get",
        _OF_STUDENT,
        "Get the shares of a student",
        "viewer",
        {http.JSON: openapi.reference(sharing.SharesAnswer)},
        {401: words.UNAUTHENTICATED, 404: _UNSEEN, 503: words.AWAY},
        parameters=[words.path_student()],
        words="Those that have not ended, whoever made them; without their tokens.",
    ),
    openapi.Operation(
        "delete",
        "/v1/shares/{share_id}",
        "End a share",
        "viewer",
        {},
        {401: words.UNAUTHENTICATED, 404: "No such share for you", 503: words.AWAY},
        parameters=[words.path("share_id", 2**31 - 1)],
        words="Nothing is shown by it any more. May be repeated.",
        status=204,
    ),
)

SHAPES = (sharing.ShareBody, sharing.MadeAnswer, sharing.ShareAnswer, sharing.SharesAnswer)
