"""A message that only the device and we can read: libsodium's secretbox, as OwnTracks seals it.

https://owntracks.org/booklet/features/encrypt/: the nonce, then the box, in base64. PyNaCl, an extra,
opens it.
"""

from __future__ import annotations

import base64
import binascii
import functools
import logging
from collections.abc import Callable

log = logging.getLogger(__name__)


def open(text: str, key: bytes) -> bytes | None:  # noqa: A001  # what is done with a box
    """What was sealed with this key of 32 bytes; None when it was not, or when nothing can be opened."""
    opening = _opening()
    if opening is None:
        return None
    try:
        return opening(base64.b64decode(text, validate=True), key)
    except binascii.Error:
        return None


@functools.cache
def _opening() -> Callable[[bytes, bytes], bytes | None] | None:
    try:
        import nacl.exceptions  # noqa: PLC0415  # an extra: imported for the first message that is sealed
        import nacl.secret  # noqa: PLC0415
    except ImportError:
        log.warning("sealed messages cannot be read; run: pip install 'geoingest[owntracks]'")
        return None

    def opening(boxed: bytes, key: bytes) -> bytes | None:
        try:
            return bytes(nacl.secret.SecretBox(key).decrypt(boxed))
        except (nacl.exceptions.CryptoError, ValueError):
            return None

    return opening
