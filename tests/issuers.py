"""An issuer of tokens on a free port: it publishes its keys, signs for whom one likes, and can be sick."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any, TypeAlias

import jwt
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from tests import conftest

AUDIENCE = "geoingest-tests"
PrivateKey: TypeAlias = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
# Made once: a key of RSA takes a moment.
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
SHORT_RSA = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505  # refused
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()
KEYS: dict[str, tuple[PrivateKey, str]] = {
    "rsa": (RSA, "RS256"),
    "ec": (EC, "ES256"),
    "ed": (ED, "EdDSA"),
}


class Issuer:
    """What it publishes and how it answers may be changed at any time."""

    def __init__(self) -> None:
        self.url = ""
        self.published = [jwk(key, kid, algorithm) for kid, (key, algorithm) in KEYS.items()]
        self.fetches = 0
        self.gate = asyncio.Event()
        self.gate.set()
        # Instead of the keys, where it is set.
        self.answer: web.Response | None = None
        self.discovery: dict[str, str] = {}

    async def get_discovery(self, _request: web.Request) -> web.Response:
        told = {"issuer": self.url, "jwks_uri": f"{self.url}/keys", **self.discovery}
        return web.json_response(told)

    async def get_keys(self, _request: web.Request) -> web.Response:
        self.fetches += 1
        await self.gate.wait()
        return self.answer or web.json_response({"keys": self.published})

    def claims(self, subject: str, **changes: Any) -> dict[str, Any]:
        """Those of a good token; None leaves one out."""
        now = int(time.time())
        good = {"iss": self.url, "aud": AUDIENCE, "sub": subject, "iat": now, "exp": now + 300}
        return {name: one for name, one in {**good, **changes}.items() if one is not None}

    def token(self, subject: str, kid: str = "rsa", **changes: Any) -> str:
        """A token that it has signed."""
        key, algorithm = KEYS[kid]
        claims = self.claims(subject, **changes)
        return jwt.encode(claims, key, algorithm, headers={"kid": kid})

    def settings(self, database: conftest.Database, **changes: object) -> Any:
        """Those of a service that takes its tokens and reads what was just written."""
        ours = {"oidc_issuer": self.url, "oidc_audience": AUDIENCE, "database_replica_url": ""}
        return database.settings(**{**ours, **changes})

    @property
    def environment(self) -> Mapping[str, str]:
        """The same for a process."""
        return {"GEOINGEST_OIDC_ISSUER": self.url, "GEOINGEST_OIDC_AUDIENCE": AUDIENCE}


@contextlib.asynccontextmanager
async def running() -> AsyncIterator[Issuer]:
    """An issuer that answers."""
    issuer, app = Issuer(), web.Application()
    app.add_routes(
        [
            web.get("/.well-known/openid-configuration", issuer.get_discovery),
            web.get("/keys", issuer.get_keys),
        ]
    )
    async with TestServer(app) as server:
        issuer.url = str(server.make_url("")).rstrip("/")
        yield issuer
        # Whoever still waits is let go before the server ends.
        issuer.gate.set()


def jwk(key: PrivateKey, kid: str | None, algorithm: str | None) -> dict[str, Any]:
    """The public half, as it is published."""
    kind: Any = jwt.algorithms.OKPAlgorithm
    if isinstance(key, rsa.RSAPrivateKey):
        kind = jwt.algorithms.RSAAlgorithm
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        kind = jwt.algorithms.ECAlgorithm
    shown: dict[str, Any] = kind.to_jwk(key.public_key(), as_dict=True)
    shown.pop("key_ops", None)
    named = {"kid": kid, "alg": algorithm, "use": "sig"}
    return {**shown, **{name: one for name, one in named.items() if one is not None}}
