"""JSON as phones write it."""

from __future__ import annotations

import json

import orjson

_LONGEST_INTEGER = 30


def document(text: bytes) -> object:
    """Any JSON value; ValueError when it is none. Takes NaN and Infinity, as phones' libraries do."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        pass
    try:
        parsed: object = json.loads(text, parse_int=_whole)
    except RecursionError as exc:
        raise ValueError("nested too deep") from exc
    return parsed


def _whole(digits: str) -> int:
    """Longer numbers are out of every range when cut, too; whole, thousands of digits are an error."""
    return int(digits[:_LONGEST_INTEGER])
