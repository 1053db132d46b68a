"""Questions: where a student is and was, and who looked."""

from __future__ import annotations

from geoingest import http
from geoingest.api import words
from geoingest.operations import openapi
from geoingest.tracking import endpoints, formats, geojson, lookups, parameters, shapes, track

_FILE = {"type": "string"}
_TRACKS = (shapes.RawTrack, shapes.HourTrack, shapes.DayTrack)
_FEATURES = (geojson.RawFeatures, geojson.HourFeatures, geojson.DayFeatures)
_RESOLUTION = (
    "Every ping (raw), or what the pings of an hour or a day come to, which is kept for longer. auto:"
    " hours or days for what lies before the pings that are kept, or where there are more pings than"
    " `limit`, then pings; one cursor walks through both, and each page says which it has. A file has"
    " hours, then pings."
)

OPERATIONS = (
    openapi.Operation(
        "get",
        "/v1/students/{student_id}/location",
        "Get a student's location",
        "viewer",
        {http.JSON: openapi.reference(shapes.LocationAnswer)},
        {
            401: words.UNAUTHENTICATED,
            404: "No such student for you, or no_position",
            429: words.TOO_OFTEN,
            503: words.AWAY,
        },
        parameters=[words.path_student()],
    ),
    openapi.Operation(
        "get",
        "/v1/locations",
        "Get many locations",
        "viewer",
        {http.JSON: openapi.reference(shapes.LocationsAnswer)},
        {
            400: "A parameter is not valid",
            401: words.UNAUTHENTICATED,
            404: "A student is not there for you",
            429: words.TOO_OFTEN,
            503: words.AWAY,
        },
        parameters=[
            words.query(
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
            endpoints.GEOJSON: openapi.one_of(*_FEATURES),
            **dict.fromkeys(formats.FORMATS, _FILE),
        },
        {**words.OF_STUDENT, 406: "No such representation"},
        parameters=[
            words.path_student(),
            words.query("from", words.INSTANT, "Start, included; a day before `to` when left out."),
            words.query("to", words.INSTANT, "End, excluded; now when left out."),
            words.query(
                "resolution",
                {"type": "string", "enum": list(parameters.RESOLUTIONS), "default": "auto"},
                _RESOLUTION,
            ),
            words.limit(
                parameters.DEFAULT_LIMIT, track.MOST_POINTS, "Points per page; not for a file."
            ),
            words.query("cursor", {"type": "string"}, "`next` of the page before; not for a file."),
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
        words.OF_STUDENT,
        parameters=[
            words.path_student(),
            words.query(
                "from", words.DATE, "First day, included; 29 days before `to` when left out."
            ),
            words.query("to", words.DATE, "Last day, included; today when left out."),
        ],
    ),
    openapi.Operation(
        "get",
        "/v1/students/{student_id}/lookups",
        "Get who looked at a student",
        "viewer",
        {http.JSON: openapi.reference(shapes.LookupsAnswer)},
        words.OF_STUDENT,
        parameters=[
            words.path_student(),
            words.query("from", words.INSTANT, "Start, included; all that is kept when left out."),
            words.query("to", words.INSTANT, "End, excluded; now when left out."),
            words.limit(parameters.DEFAULT_LOOKUPS, lookups.MOST_LOOKUPS, "Look-ups per page."),
            words.query("cursor", {"type": "string"}, "`next` of the page before."),
        ],
        words="Newest first: one for each answer about this student, recorded before it was sent. This"
        " answer is on record, too.",
    ),
)

SHAPES = (
    shapes.LocationAnswer,
    shapes.LocationsAnswer,
    shapes.DaysAnswer,
    shapes.LookupsAnswer,
    *_TRACKS,
    *_FEATURES,
)
