"""The head of a plain request at a door: parsed once, then known again but for what may differ."""

from __future__ import annotations

import re
from typing import NamedTuple

from aiohttp import hdrs
from aiohttp.http import HttpVersion11, RawRequestMessage

from geoingest.ingest import door, posted

END = b"\r\n\r\n"
# With others a body or an answer is another matter.
METHODS = (b"POST", b"GET")
_LONGEST_FIELD_BYTES = 4096
# Where the heads of one phone, or of all that come through one balancer, differ: with what stands before.
_FIELDS = re.compile(
    rb"^[A-Z]+ [^ ?]+\?(?P<query>[^ ]*)(?= HTTP/1)"
    rb"|\r\nauthorization:[ \t]*(?P<authorization>[^\r\n]*)(?=\r\n)"
    rb"|\r\ncontent-length:[ \t]*(?P<length>[^\r\n]*)(?=\r\n)",
    re.IGNORECASE,
)
_SAFE = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~+/=-"
# No other byte of theirs is taken without the parser.
_TAKEN = {
    "query": _SAFE + b"!$%&'()*,:;?@",
    "authorization": _SAFE + b" ",
    "length": b"0123456789",
}


class Begun(NamedTuple):
    """A request whose head is there: with the body as far as it came, what is missing, what came behind."""

    given: posted.Posted
    missing_bytes: int
    rest: bytes


class Head(NamedTuple):
    """What stays the same between requests: everything around the fields, of which some may be missing."""

    first: bytes
    # Each field, in their order, with the bytes behind it up to the next one.
    fields: tuple[tuple[str, bytes], ...]
    plain: posted.Posted
    max_body_bytes: int

    def read(self, raw: bytes) -> Begun | None:
        """The request that `raw` begins with, where it has this head; else None.

        Bytes equal to those that the parser has accepted need no second look; what may differ is
        checked here.
        """
        if not raw.startswith(self.first):
            return None
        at = len(self.first)
        found = {"query": b"", "authorization": b"", "length": b"0"}
        for name, behind in self.fields:
            stop = raw.find(behind[:1], at, at + _LONGEST_FIELD_BYTES)
            value = raw[at:stop]
            if (
                stop < 0
                or not raw.startswith(behind, stop)
                or not value
                or value.translate(None, _TAKEN[name])
            ):
                return None
            found[name] = value
            at = stop + len(behind)
        path, method, _, content_type, _, _ = self.plain
        length = int(found["length"])
        if length > self.max_body_bytes:
            return None
        end = at + length
        body = raw[at:end]
        given = posted.Posted(
            path, method, found["query"].decode(), content_type, found["authorization"], body
        )
        return Begun(given, length - len(body), raw[end:])


def remember(plain: posted.Posted, head: bytes, *, max_body_bytes: int) -> Head | None:
    """The head that was parsed to this, to be known again; None when a field is there twice."""
    fields = list(_FIELDS.finditer(head))
    names = [str(one.lastgroup) for one in fields]
    if len(set(names)) < len(names):
        return None
    spans = [one.span(name) for one, name in zip(fields, names, strict=True)]
    starts = [*(start for start, _ in spans), len(head)]
    behind = [head[stop:start] for (_, stop), start in zip(spans, starts[1:], strict=True)]
    return Head(
        head[: starts[0]],
        tuple(zip(names, behind, strict=True)),
        plain,
        max_body_bytes,
    )


def is_plain(message: RawRequestMessage, doors: door.Doors, *, max_body_bytes: int) -> bool:
    """True for what connection.py answers itself."""
    one = doors.get(message.path.partition("?")[0])
    return (
        one is not None
        and message.method.encode() in METHODS
        and (one.methods is None or message.method in one.methods)
        and "#" not in message.path
        and message.version == HttpVersion11
        and not (message.should_close or message.compression or message.chunked)
        and hdrs.EXPECT not in message.headers
        and message.headers.get(hdrs.CONTENT_LENGTH, "0").isdigit()
        and length(message) <= max_body_bytes
    )


def describe(message: RawRequestMessage) -> posted.Posted:
    """The request, but for its body."""
    path, _, query = message.path.partition("?")
    kind = message.headers.get(hdrs.CONTENT_TYPE, "")
    return posted.Posted(
        path,
        message.method,
        query,
        kind.partition(";")[0].strip().lower(),
        message.headers.get(hdrs.AUTHORIZATION, "").encode(errors="surrogateescape"),
        b"",
    )


def length(message: RawRequestMessage) -> int:
    """How many bytes the body has."""
    return int(message.headers.get(hdrs.CONTENT_LENGTH, "0"))
