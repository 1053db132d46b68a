"""Administration: who there is, and who may see whom."""

from __future__ import annotations

from geoingest import http
from geoingest.access import directory, directory_endpoints, directory_import
from geoingest.access.directory_line import Line
from geoingest.api import words
from geoingest.operations import openapi


def _put(kind: str, line: type[Line]) -> openapi.Operation:
    described = f"A {line.__name__} as JSON in each line"
    return openapi.Operation(
        "put",
        f"/v1/admin/{kind}",
        f"Put {kind} into the directory",
        "viewer",
        {http.JSON: openapi.reference(directory.Report)},
        {
            400: "The body ended early or does not unpack",
            401: words.UNAUTHENTICATED,
            404: "You are no administrator",
            408: "The body did not arrive in time",
            409: "Another import is under way, or something changed meanwhile: send it again",
            413: f"More than {directory_import.MOST_LINES} lines,"
            f" or {directory_endpoints.MOST_BYTES} bytes",
            415: f"Send {' or '.join(directory_endpoints.FORMS)}",
            503: words.AWAY,
        },
        body={
            "application/x-ndjson": {"type": "string", "description": described},
            "text/csv": {
                "type": "string",
                "description": "The same with a header line; lists have spaces between their parts,"
                " an empty cell is null",
            },
        },
        words="Committed as a whole. A line says all of what it names: what it leaves out is empty"
        " then; what no line names stays as it is",
        problems={422: directory_endpoints.BadLinesProblem},
    )


OPERATIONS = tuple(_put(kind, line) for kind, line in directory.KINDS.items())

SHAPES = (*directory.KINDS.values(), directory.Report, directory_endpoints.BadLinesProblem)
