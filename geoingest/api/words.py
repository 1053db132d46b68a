"""What the operations of several parts share: words of answers, and parameters."""

from __future__ import annotations

from typing import Any

UNAUTHENTICATED = "No valid bearer token"
AWAY = "Not now: come again after Retry-After seconds"
TOO_OFTEN = "This viewer asks too often: come again after Retry-After seconds"
# What can be wrong with a question about one student.
OF_STUDENT = {
    400: "A parameter is not valid",
    401: UNAUTHENTICATED,
    404: "No such student for you",
    429: TOO_OFTEN,
    503: AWAY,
}
INSTANT = {"type": "string", "format": "date-time"}
DATE = {"type": "string", "format": "date"}


def path_student() -> dict[str, Any]:
    """The student that an address names."""
    return path("student_id", 2**63 - 1)


def path(name: str, most: int) -> dict[str, Any]:
    """Whatever an address names, by its number."""
    schema = {"type": "integer", "minimum": 1, "maximum": most}
    return {"name": name, "in": "path", "required": True, "schema": schema}


def query(name: str, schema: dict[str, Any], words: str) -> dict[str, Any]:
    """A parameter that may be left out."""
    return {"name": name, "in": "query", "schema": schema, "description": words}


def limit(default: int, most: int, words: str) -> dict[str, Any]:
    """How much one page holds."""
    schema = {"type": "integer", "minimum": 1, "maximum": most, "default": default}
    return query("limit", schema, words)
