"""What a phone has posted, before anybody looks at what it means."""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import NamedTuple

_BEARER = b"bearer "
_BASIC = b"basic "


class Posted(NamedTuple):
    """One request.

    The path as it stands in the route table, the query without its question mark, the content type
    in small letters and without parameters, and the Authorization header, empty without one.
    """

    path: str
    method: str
    query: str
    content_type: str
    authorization: bytes
    body: bytes

    def bearer_digest(self) -> bytes | None:
        """SHA-256 of the bearer token; None without one."""
        given = self.authorization
        if given[: len(_BEARER)].lower() != _BEARER:
            return None
        return hashlib.sha256(given[len(_BEARER) :].strip()).digest()

    def token(self) -> str | None:
        """The bearer token, or the password; None without either."""
        given = self.authorization
        token = ""
        if given[: len(_BEARER)].lower() == _BEARER:
            token = given[len(_BEARER) :].strip().decode(errors="surrogateescape")
        elif given[: len(_BASIC)].lower() == _BASIC:
            token = _password(given[len(_BASIC) :].strip())
        # An app whose user left the field empty may have put it elsewhere.
        return token or None


def _password(value: bytes) -> str:
    try:
        text = base64.b64decode(value, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        # Overland in its OwnTracks mode sends the token itself, and a colon.
        return value.rstrip(b":").decode(errors="surrogateescape")
    return text.partition(":")[2]
