"""Bytes of a request become rows to store; what cannot be one is named with its reason."""

from __future__ import annotations

import struct
from typing import cast

import msgspec

from geoingest import errors, ping
from geoingest.ingest import admission, content, parse, rows, salvage

_document = msgspec.json.Decoder(ping.PingBody | list[ping.PingBody])
_line = msgspec.json.Decoder(ping.PingBody)
# msgspec's own nesting guard is Python's; the last two are the row's, should a check be missing.
_BROKEN = (msgspec.DecodeError, RecursionError, UnicodeDecodeError, struct.error, OverflowError)


def decode(body: bytes, *, lines: bool, terms: ping.Admission, max_pings: int) -> content.Decoded:
    """Decodes an object, an array or (`lines`) NDJSON.

    The fast path takes a body in which every ping is right; anything unusual goes through
    the slow path, which looks at each ping alone, so that one cannot harm its neighbours.
    Raises MalformedBodyError when nothing in it is JSON, BodyTooLargeError above max_pings.
    """
    try:
        bodies = _line.decode_lines(body) if lines else _document.decode(body)
        if not isinstance(bodies, list):
            bodies = [bodies]
        _check_count(len(bodies), max_pings)
        admitted = admission.admit(bodies, terms)
    except _BROKEN:
        return _salvaged(body, lines=lines, terms=terms, max_pings=max_pings)
    if str in map(type, admitted):
        return _salvaged(body, lines=lines, terms=terms, max_pings=max_pings)
    return content.Decoded(len(admitted), cast("list[rows.Row]", admitted))


def estimate(body: bytes, *, lines: bool) -> int:
    """How many pings a body holds, by the look of it: it may be refused without being decoded."""
    if lines:
        return body.strip().count(b"\n") + 1
    return 1 if body.startswith(b"{") else max(1, body.count(b'"latitude"'))


def _salvaged(
    body: bytes, *, lines: bool, terms: ping.Admission, max_pings: int
) -> content.Decoded:
    items = _parse_lines(body) if lines else _parse_document(body)
    _check_count(len(items), max_pings)
    return salvage.salvage(items, terms, salvage.admit_one)


def _check_count(count: int, max_pings: int) -> None:
    if count > max_pings:
        raise errors.BodyTooLargeError(f"{count} pings; send at most {max_pings} per request")


def _parse_document(body: bytes) -> list[object]:
    try:
        document = parse.document(body)
    except ValueError as exc:
        raise errors.MalformedBodyError from exc
    return document if isinstance(document, list) else [document]


def _parse_lines(body: bytes) -> list[object]:
    items: list[object] = []
    readable = False
    for line in body.splitlines():
        if not line.strip():
            continue
        try:
            items.append(parse.document(line))
            readable = True
        except ValueError:
            # Bytes stand for a line that is no JSON; no parser returns them.
            items.append(line)
    if not readable:
        raise errors.MalformedBodyError
    return items
