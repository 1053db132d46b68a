"""A small JSON body becomes a checked value, or an error that names the member and repeats nothing of it."""

from __future__ import annotations

from typing import TypeVar

import msgspec
from aiohttp import web

from geoingest import errors, http

S = TypeVar("S", bound=msgspec.Struct)

MOST_BYTES = 4_096


async def read(
    request: web.Request, kind: type[S], *, seconds: float, most_bytes: int = MOST_BYTES
) -> S:
    """The body as this struct; none at all is one that says nothing."""
    try:
        raw = await http.read_body(request, seconds=seconds)
    except TimeoutError as exc:
        raise errors.BodyTimeoutError from exc
    if len(raw) > most_bytes:
        raise errors.BodyTooLargeError
    try:
        return msgspec.json.decode(raw or b"{}", type=kind)
    except msgspec.ValidationError as exc:
        raise errors.BadBodyError(_members(kind)) from exc
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise errors.MalformedBodyError from exc


def _members(kind: type[S]) -> str:
    names = [field.encode_name for field in msgspec.structs.fields(kind)]
    return f"an object of: {', '.join(names)}"
