"""Tokens that look like an issuer's and are not to be taken, by what is wrong with them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization

from tests import issuers

Forge = Callable[[issuers.Issuer, str], str]


def _claiming(**changes: Any) -> Forge:
    return lambda issuer, subject: issuer.token(subject, **changes)


def _signed(key: issuers.PrivateKey, algorithm: str, **header: Any) -> Forge:
    return lambda issuer, subject: jwt.encode(
        issuer.claims(subject), key, algorithm, headers={"kid": "rsa", **header}
    )


def _part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def _unsigned(name: str) -> Forge:
    def forge(issuer: issuers.Issuer, subject: str) -> str:
        return f"{_part({'alg': name, 'kid': 'rsa'})}.{_part(issuer.claims(subject))}."

    return forge


def _by_public_key(encoding: serialization.Encoding) -> Forge:
    """HS256, with what everybody knows for the secret."""
    secret = issuers.RSA.public_key().public_bytes(
        encoding, serialization.PublicFormat.SubjectPublicKeyInfo
    )

    def forge(issuer: issuers.Issuer, subject: str) -> str:
        text = f"{_part({'alg': 'HS256', 'kid': 'rsa'})}.{_part(issuer.claims(subject))}"
        mac = hmac.new(secret, text.encode(), hashlib.sha256).digest()
        return f"{text}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"

    return forge


def _cut(issuer: issuers.Issuer, subject: str) -> str:
    return issuer.token(subject)[:-4]


def _of_another(issuer: issuers.Issuer, subject: str) -> str:
    """The signature of somebody else's token."""
    other, mine = issuer.token("somebody else"), issuer.token(subject)
    return f"{mine.rsplit('.', 1)[0]}.{other.rsplit('.', 1)[1]}"


def _too_long(issuer: issuers.Issuer, subject: str) -> str:
    """Just longer than is taken, and short enough for a header."""
    lengths = (len(issuer.token(subject, rest="a" * size)) for size in range(5400, 5900))
    size = next(5400 + more for more, length in enumerate(lengths) if length > 8000)
    return issuer.token(subject, rest="a" * size)


ALL: dict[str, Forge] = {
    "another's key": _signed(issuers.OTHER_RSA, "RS256"),
    "the key of another name": _signed(issuers.RSA, "RS256", kid="ec"),
    "another's signature": _of_another,
    "a signature that is cut": _cut,
    "none": _unsigned("none"),
    "None": _unsigned("None"),
    "no signature": _unsigned("RS256"),
    "HS256 by the public key": _by_public_key(serialization.Encoding.PEM),
    "HS256 by its bytes": _by_public_key(serialization.Encoding.DER),
    "RS512, which is not allowed": _signed(issuers.RSA, "RS512"),
    "PS256, which is not allowed": _signed(issuers.RSA, "PS256"),
    "an extension that must be understood": _signed(issuers.RSA, "RS256", crit=["exp"], exp=1),
    "wrong iss": _claiming(iss="https://elsewhere.example.org"),
    "no iss": _claiming(iss=None),
    "wrong aud": _claiming(aud="another service"),
    "several aud, none ours": _claiming(aud=["another service", "a third"]),
    "no aud": _claiming(aud=None),
    "expired": _claiming(exp=int(time.time()) - 1),
    "no exp": _claiming(exp=None),
    "exp is no number": _claiming(exp=[]),
    "exp is too large a number": _claiming(exp=float("inf")),
    "not yet": _claiming(nbf=int(time.time()) + 3600),
    "signed in the future": _claiming(iat=int(time.time()) + 3600),
    "no sub": _claiming(sub=None),
    "sub is a number": _claiming(sub=17),
    "sub is empty": _claiming(sub=""),
    "sub holds what no database takes": _claiming(sub="a\x00b"),
    "sub holds what is no text": _claiming(sub="\ud800"),
    "sub is too long": _claiming(sub="a" * 256),
    "too long": _too_long,
}
