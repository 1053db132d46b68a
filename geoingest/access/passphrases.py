"""Passphrases of devices that encrypt what they send: 135 random bits, to be typed into a phone."""

from __future__ import annotations

import secrets

# One keyboard, and no letter that looks like another.
_LETTERS = "abcdefghjkmnpqrstuvwxyz"
_LENGTH = 30
_KEY_BYTES = 32


def create() -> str:
    """A new passphrase of small letters; show it once."""
    return "".join(secrets.choice(_LETTERS) for _ in range(_LENGTH))


def owntracks_key(passphrase: str) -> bytes:
    """The 32 bytes that OwnTracks makes of it: the passphrase, then zeros."""
    return passphrase.encode().ljust(_KEY_BYTES, b"\0")
