"""The head of a plain POST /v1/pings: parsed once, then known again but for token and length."""

from __future__ import annotations

import hashlib
import re
from typing import NamedTuple

from aiohttp import hdrs
from aiohttp.http import HttpVersion11, RawRequestMessage

from geoingest.ingest import endpoints

END = b"\r\n\r\n"
_LONGEST_FIELD_BYTES = 200
# The two things in which the heads of one app differ, with the line breaks around them.
_FIELDS = re.compile(
    rb"\r\n(?:authorization:[ \t]*bearer[ ]+(?P<token>[A-Za-z0-9._~+/=-]+)"
    rb"|content-length:[ \t]*(?P<length>[0-9]{1,9}))(?=\r\n)",
    re.IGNORECASE,
)
_TOKEN_BYTES = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~+/=-"


class Post(NamedTuple):
    """A whole plain request: SHA-256 of its token if it has one, its body, whether that is NDJSON."""

    digest: bytes | None
    body: bytes
    lines: bool


class Head(NamedTuple):
    """What stays the same between requests: everything around the token and the length."""

    first: bytes
    middle: bytes
    last: bytes
    token_first: bool
    lines: bool
    max_body_bytes: int

    def read(self, raw: bytes) -> Post | None:
        """The request, where `raw` is a whole one with this head; else None.

        Bytes equal to those that the parser has accepted need no second look; what may differ is
        checked here.
        """
        one = _between(raw, 0, self.first, self.middle)
        if one is None:
            return None
        start = len(self.first) + len(one) + len(self.middle)
        other = _between(raw, start, b"", self.last)
        if other is None:
            return None
        token, length = (one, other) if self.token_first else (other, one)
        body = raw[start + len(other) + len(self.last) :]
        if (
            not length.isdigit()
            or int(length) != len(body)
            or len(body) > self.max_body_bytes
            or not token
            or token.translate(None, _TOKEN_BYTES)
        ):
            return None
        return Post(hashlib.sha256(token).digest(), body, self.lines)


def remember(message: RawRequestMessage, head: bytes, *, max_body_bytes: int) -> Head | None:
    """The parsed head, to be known again; None when the two fields are not plain."""
    fields = list(_FIELDS.finditer(head))
    if len(fields) != 2 or {one.lastgroup for one in fields} != {"token", "length"}:
        return None
    (start, stop), (next_start, next_stop) = (one.span(str(one.lastgroup)) for one in fields)
    return Head(
        head[:start],
        head[stop:next_start],
        head[next_stop:],
        fields[0].lastgroup == "token",
        is_lines(message),
        max_body_bytes,
    )


def is_plain(message: RawRequestMessage, *, max_body_bytes: int) -> bool:
    """True for what connection.py answers itself."""
    return (
        message.path == endpoints.PATH
        and message.method == hdrs.METH_POST
        and message.version == HttpVersion11
        and not (message.should_close or message.compression or message.chunked)
        and hdrs.EXPECT not in message.headers
        and message.headers.get(hdrs.CONTENT_LENGTH, "0").isdigit()
        and length(message) <= max_body_bytes
    )


def length(message: RawRequestMessage) -> int:
    """How many bytes the body has."""
    return int(message.headers.get(hdrs.CONTENT_LENGTH, "0"))


def is_lines(message: RawRequestMessage) -> bool:
    """True for NDJSON."""
    kind = message.headers.get(hdrs.CONTENT_TYPE, "")
    return endpoints.is_lines(kind.partition(";")[0].strip().lower())


def _between(raw: bytes, start: int, before: bytes, after: bytes) -> bytes | None:
    """What stands from behind `before` to the next line break, which `after` begins with."""
    if not raw.startswith(before, start):
        return None
    start += len(before)
    stop = raw.find(b"\r", start, start + _LONGEST_FIELD_BYTES)
    return raw[start:stop] if stop >= 0 and raw.startswith(after, stop) else None
