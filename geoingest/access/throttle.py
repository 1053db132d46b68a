"""Who has failed to log in, by account and by address, and so has to wait: the numbers of the rule.

The database counts, and knows of either only a SHA-256; the rule is `begin_login`'s:

1. A wait begins with the last failure and doubles with each, up to the most. A minute forgets one failure.
2. An account's wait holds up nobody who comes from an address from which that account has not failed for a
   day, once: so no stranger can lock anybody out for ever, and whoever has many addresses has a guess from
   each a day. Logging in forgives the account, and this address with this account.
3. An address's wait holds up everybody there, whatever the account. Logging in forgives no address: else
   whoever has an account would guess at others' without end. Many share one, so it may fail often, and the
   wait stays short.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple


class Rule(NamedTuple):
    """How many failures cost no wait, and the longest wait."""

    free: int
    most_seconds: int


ACCOUNT = Rule(5, 60)
ADDRESS = Rule(50, 15)


class Keys(NamedTuple):
    """What failures are counted by."""

    account: bytes
    address: bytes
    both: bytes


def keys(email: str, address: str) -> Keys:
    """Of one try; whether there is such an account makes no difference."""
    return Keys(
        account(email),
        _digest(f"address:{address}"),
        _digest(f"account:{email} address:{address}"),
    )


def account(email: str) -> bytes:
    """An account's alone."""
    return _digest(f"account:{email}")


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
