"""Viewers: who one is and whom one sees, a school's hours, the students of a class."""

from __future__ import annotations

from typing import Any

from geoingest import http
from geoingest.access import viewers
from geoingest.api import words
from geoingest.operations import openapi


def _number(name: str) -> dict[str, Any]:
    schema = {"type": "integer", "minimum": 1, "maximum": 2**31 - 1}
    return {"name": name, "in": "path", "required": True, "schema": schema}


_ERRORS = {
    401: words.UNAUTHENTICATED,
    404: "No such thing for you; nor, by a share, for anybody",
    429: words.TOO_OFTEN,
    503: words.AWAY,
}

OPERATIONS = (
    openapi.Operation(
        "get",
        "/v1/me",
        "Get who asks",
        "viewer",
        {http.JSON: openapi.reference(viewers.ViewerAnswer)},
        _ERRORS,
        words="Whom the viewer sees now; up to two seconds old",
    ),
    openapi.Operation(
        "get",
        "/v1/schools/{school_id}",
        "Get a school",
        "viewer",
        {http.JSON: openapi.reference(viewers.SchoolAnswer)},
        _ERRORS,
        parameters=[_number("school_id")],
        words="For who sees one of its students now; up to two seconds old",
    ),
    openapi.Operation(
        "get",
        "/v1/classes/{class_id}/students",
        "Get a class's students",
        "viewer",
        {http.JSON: openapi.reference(viewers.ClassAnswer)},
        _ERRORS,
        parameters=[_number("class_id")],
        words="Those whom the viewer sees now; up to two seconds old",
    ),
)

SHAPES = (viewers.ViewerAnswer, viewers.SchoolAnswer, viewers.ClassAnswer)
