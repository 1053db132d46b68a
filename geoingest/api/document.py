"""openapi.json, put together from its parts."""

from __future__ import annotations

from geoingest.api import directory, logins, pings, reads, shares, viewers
from geoingest.operations import openapi

_PARTS = (pings, reads, shares, viewers, logins, directory)


def document() -> bytes:
    """All operations, and the shapes that they speak of."""
    return openapi.document(
        [one for part in _PARTS for one in part.OPERATIONS],
        [one for part in _PARTS for one in part.SHAPES],
    )
