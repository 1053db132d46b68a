"""The keys that an issuer publishes (RFC 7517), each for the algorithms that it fits."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeAlias

import jwt
import msgspec

_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
# By type and curve: the token has no say in it. Secrets (oct) are not among them.
_FITTING = {
    ("RSA", None): _RSA,
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-384"): ("ES384",),
    ("EC", "P-521"): ("ES512",),
    ("OKP", "Ed25519"): ("EdDSA",),
    ("OKP", "Ed448"): ("EdDSA",),
}


class Jwk(msgspec.Struct, omit_defaults=True):
    """The public members of one key."""

    kty: str
    kid: str | None = None
    use: str | None = None
    key_ops: list[str] | None = None
    alg: str | None = None
    crv: str | None = None
    n: str | None = None
    e: str | None = None
    x: str | None = None
    y: str | None = None


class Name(NamedTuple):
    """What a token says of its key."""

    kid: str | None
    algorithm: str


Keys: TypeAlias = Mapping[Name, jwt.PyJWK]


class _Set(msgspec.Struct):
    keys: list[msgspec.Raw]


def read(body: bytes) -> list[Jwk]:
    """The keys of a set; those of another shape than ours are somebody else's."""
    found = []
    for raw in msgspec.json.decode(body, type=_Set).keys:
        with contextlib.suppress(msgspec.ValidationError):
            found.append(msgspec.json.decode(raw, type=Jwk))
    return found


def usable(published: Iterable[Jwk], algorithms: Iterable[str]) -> Keys:
    """The keys by which something can be verified, under each of the algorithms that are allowed."""
    allowed, found = set(algorithms), dict[Name, jwt.PyJWK]()
    for one in published:
        for algorithm in allowed.intersection(_fitting(one)):
            with contextlib.suppress(jwt.PyJWTError):
                key = jwt.PyJWK(msgspec.to_builtins(one), algorithm)
                # The library says a word about a key that is too short, and takes it.
                if key.Algorithm.check_key_length(key.key) is None:
                    found[Name(one.kid, algorithm)] = key
    return found


def find(keys: Keys, name: Name) -> jwt.PyJWK | None:
    """The key of this name; where a token names none, the only one there is."""
    if name.kid is not None:
        return keys.get(name)
    fitting = [key for other, key in keys.items() if other.algorithm == name.algorithm]
    return fitting[0] if len(fitting) == 1 else None


def _fitting(one: Jwk) -> tuple[str, ...]:
    if one.use not in {None, "sig"} or "verify" not in (one.key_ops or ["verify"]):
        return ()
    algorithms = _FITTING.get((one.kty, one.crv), ())
    return algorithms if one.alg is None else tuple({one.alg}.intersection(algorithms))
