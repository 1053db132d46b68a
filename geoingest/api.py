"""The public interface as a table: what openapi.json says about each route."""

from __future__ import annotations

from typing import Any

import orjson

from geoingest import http, ping
from geoingest.ingest import answers, apps
from geoingest.operations import openapi
from geoingest.tracking import endpoints as tracking
from geoingest.tracking import formats, geojson, lookups, parameters, shapes, track

_UNAUTHENTICATED = "No valid bearer token"
_AWAY = "Not now: come again after Retry-After seconds"
# What can be wrong with a question about one student.
_OF_STUDENT = {
    400: "A parameter is not valid",
    401: _UNAUTHENTICATED,
    404: "No such student for you",
    503: _AWAY,
}
_ONE_PING = openapi.reference(ping.PingBody)
_INSTANT = {"type": "string", "format": "date-time"}
_DATE = {"type": "string", "format": "date"}
_FILE = {"type": "string"}
_TRACKS = (shapes.RawTrack, shapes.HourTrack, shapes.DayTrack)
_FEATURES = (geojson.RawFeatures, geojson.HourFeatures, geojson.DayFeatures)
_RESOLUTION = (
    "Every ping (raw), or what the pings of an hour or a day come to, which is kept for longer. auto:"
    " hours or days for what lies before the pings that are kept, or where there are more pings than"
    " `limit`, then pings; one cursor walks through both, and each page says which it has. A file has"
    " hours, then pings."
)


def _path_student() -> dict[str, Any]:
    return {
        "name": "student_id",
        "in": "path",
        "required": True,
        "schema": {"type": "integer", "minimum": 1, "maximum": 2**63 - 1},
    }


def _query(name: str, schema: dict[str, Any], words: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": schema, "description": words}


def _limit(default: int, most: int, words: str) -> dict[str, Any]:
    schema = {"type": "integer", "minimum": 1, "maximum": most, "default": default}
    return _query("limit", schema, words)


_OPERATIONS = (
    openapi.Operation(
        "post",
        "/v1/pings",
        "Post pings",
        "device",
        {http.JSON: openapi.reference(answers.PingsAnswer)},
        {
            400: "The body is not JSON at all",
            401: _UNAUTHENTICATED,
            408: "The body did not arrive in time",
            413: "Too many bytes or pings",
            429: "This device posts too often: keep the pings, come again after Retry-After seconds",
            503: _AWAY,
        },
        body={
            http.JSON: {"anyOf": [_ONE_PING, {"type": "array", "items": _ONE_PING}]},
            "application/x-ndjson": {"type": "string", "description": "one ping per line"},
        },
    ),
    openapi.Operation(
        "get",
        "/v1/students/{student_id}/location",
        "Get a student's location",
        "viewer",
        {http.JSON: openapi.reference(shapes.LocationAnswer)},
        {401: _UNAUTHENTICATED, 404: "No such student for you, or no_position", 503: _AWAY},
        parameters=[_path_student()],
    ),
    openapi.Operation(
        "get",
        "/v1/locations",
        "Get many locations",
        "viewer",
        {http.JSON: openapi.reference(shapes.LocationsAnswer)},
        {
            400: "A parameter is not valid",
            401: _UNAUTHENTICATED,
            404: "A student is not there for you",
            503: _AWAY,
        },
        parameters=[
            _query(
                "student_id",
                {
                    "type": "array",
                    "items": {"type": "integer", "minimum": 1, "maximum": 2**63 - 1},
                    "maxItems": parameters.MOST_STUDENTS,
                },
                "Repeat for each student; without it all you may see.",
            )
        ],
    ),
    openapi.Operation(
        "get",
        "/v1/students/{student_id}/track",
        "Get a student's track",
        "viewer",
        {
            http.JSON: openapi.one_of(*_TRACKS),
            tracking.GEOJSON: openapi.one_of(*_FEATURES),
            **dict.fromkeys(formats.FORMATS, _FILE),
        },
        {**_OF_STUDENT, 406: "No such representation"},
        parameters=[
            _path_student(),
            _query("from", _INSTANT, "Start, included; a day before `to` when left out."),
            _query("to", _INSTANT, "End, excluded; now when left out."),
            _query(
                "resolution",
                {"type": "string", "enum": list(parameters.RESOLUTIONS), "default": "auto"},
                _RESOLUTION,
            ),
            _limit(parameters.DEFAULT_LIMIT, track.MOST_POINTS, "Points per page; not for a file."),
            _query("cursor", {"type": "string"}, "`next` of the page before; not for a file."),
        ],
        words="A page, as JSON or GeoJSON; or the whole window as a file, which is cut by a reset when"
        " it cannot be read to its end. A file's as_of and source are headers, As-Of and Source.",
    ),
    openapi.Operation(
        "get",
        "/v1/students/{student_id}/days",
        "Get a student's days",
        "viewer",
        {http.JSON: openapi.reference(shapes.DaysAnswer)},
        _OF_STUDENT,
        parameters=[
            _path_student(),
            _query("from", _DATE, "First day, included; 29 days before `to` when left out."),
            _query("to", _DATE, "Last day, included; today when left out."),
        ],
    ),
    openapi.Operation(
        "get",
        "/v1/students/{student_id}/lookups",
        "Get who looked at a student",
        "viewer",
        {http.JSON: openapi.reference(shapes.LookupsAnswer)},
        _OF_STUDENT,
        parameters=[
            _path_student(),
            _query("from", _INSTANT, "Start, included; all that is kept when left out."),
            _query("to", _INSTANT, "End, excluded; now when left out."),
            _limit(parameters.DEFAULT_LOOKUPS, lookups.MOST_LOOKUPS, "Look-ups per page."),
            _query("cursor", {"type": "string"}, "`next` of the page before."),
        ],
        words="Newest first: one for each answer about this student, recorded before it was sent. This"
        " answer is on record, too.",
    ),
)


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
            503: _AWAY,
        },
        words="Stored, or never to be sent again: what is no ping is kept with the rejects",
    )


def document() -> bytes:
    """openapi.json."""
    return openapi.document(
        [*_OPERATIONS, *(_of_app(app, method) for app in apps.APPS for method in app.methods)],
        [
            ping.PingBody,
            answers.PingsAnswer,
            shapes.LocationAnswer,
            shapes.LocationsAnswer,
            shapes.DaysAnswer,
            shapes.LookupsAnswer,
            *_TRACKS,
            *_FEATURES,
        ],
    )
