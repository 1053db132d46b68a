"""Bearer tokens: 256 random bits, of which only the SHA-256 is kept."""

from __future__ import annotations

import hashlib
import secrets
from typing import Literal

# A prefix lets secret scanners and people tell what leaked.
_PREFIXES = {
    "device": "gi_dev_",
    "viewer": "gi_view_",
    "session": "gi_ses_",
    "share": "gi_share_",
}


def create(kind: Literal["device", "viewer", "session", "share"]) -> str:
    """A new token; show it once, store its digest."""
    return _PREFIXES[kind] + secrets.token_urlsafe(32)


def digest(token: str) -> bytes:
    """The 32 bytes by which the token is found. A slow hash would guard nothing: it is no password."""
    return hashlib.sha256(token.encode()).digest()
