"""An HTTP/1.1 answer as bytes."""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping
from email.utils import formatdate
from http import HTTPStatus

from aiohttp import hdrs


def encode(
    status: int, kind: str, body: bytes, headers: Mapping[str, str], *, closes: bool
) -> bytes:
    """Status, headers with the length, the date and these, and the body."""
    more = tuple(headers.items())
    if closes:
        more += ((hdrs.CONNECTION, "close"),)
    return _head(status, kind, len(body), more, int(time.time())) + body


# Nearly all answers of one second are of a few lengths, and its refusals of ten Retry-Afters.
@functools.lru_cache(maxsize=64)
def _head(
    status: int,
    kind: str,
    length: int,
    more: tuple[tuple[str, str], ...],
    unix_seconds: int,
) -> bytes:
    lines = [
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        f"Content-Type: {kind}",
        f"Content-Length: {length}",
        f"Date: {formatdate(unix_seconds, usegmt=True)}",
        *(f"{name}: {value}" for name, value in more),
        "",
        "",
    ]
    return "\r\n".join(lines).encode()
