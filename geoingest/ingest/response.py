"""An HTTP/1.1 answer as bytes."""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping
from email.utils import formatdate
from http import HTTPStatus


def encode(
    status: int, kind: str, body: bytes, headers: Mapping[str, str], *, closes: bool
) -> bytes:
    """Status, headers with the length, the date and these, and the body."""
    head = _head(status, kind, len(body), int(time.time()))
    for name, value in headers.items():
        head += b"%b: %b\r\n" % (name.encode(), value.encode())
    if closes:
        head += b"Connection: close\r\n"
    return head + b"\r\n" + body


# Nearly all answers of one second are of a few lengths.
@functools.lru_cache(maxsize=64)
def _head(status: int, kind: str, length: int, unix_seconds: int) -> bytes:
    lines = [
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        f"Content-Type: {kind}",
        f"Content-Length: {length}",
        f"Date: {formatdate(unix_seconds, usegmt=True)}",
        "",
    ]
    return "\r\n".join(lines).encode()
