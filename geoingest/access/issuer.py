"""The platform's issuer, asked over HTTP for the keys that it signs with."""

from __future__ import annotations

import asyncio
from typing import Literal, TypeAlias, TypeVar

import aiohttp
import msgspec

from geoingest import config, errors
from geoingest.access import jwks

S = TypeVar("S", bound=msgspec.Struct)
Reason: TypeAlias = Literal["unreachable", "timeout", "status", "too_large", "malformed"]

# Both documents together.
FETCH_SECONDS = 5.0
# A guess: hundreds of keys.
MOST_BYTES = 262_144
_DISCOVERY = "/.well-known/openid-configuration"


class NoAnswerError(errors.GeoingestError):
    """The issuer did not tell its keys."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason: Reason = reason


class _Discovery(msgspec.Struct):
    issuer: str
    jwks_uri: str


class Issuer:
    """Whoever signs the platform's tokens."""

    def __init__(self, http: aiohttp.ClientSession, url: str, *, keys_url: str) -> None:
        self._http = http
        self._url = url
        self._keys_url = keys_url

    async def keys(self, *, patience_seconds: float = FETCH_SECONDS) -> list[jwks.Jwk]:
        """What it publishes now, also where that has moved; NoAnswerError."""
        try:
            async with asyncio.timeout(patience_seconds):
                keys_url = self._keys_url or await self._discover()
                return jwks.read(await self._get(keys_url))
        except TimeoutError as exc:
            raise NoAnswerError("timeout") from exc
        except aiohttp.ClientError as exc:
            raise NoAnswerError("unreachable") from exc
        except (msgspec.DecodeError, ValueError, RecursionError) as exc:
            raise NoAnswerError("malformed") from exc

    async def _discover(self) -> str:
        body = await self._get(self._url.rstrip("/") + _DISCOVERY)
        found = msgspec.json.decode(body, type=_Discovery)
        if found.issuer != self._url or not config.is_private(found.jwks_uri):
            raise NoAnswerError("malformed")
        return found.jwks_uri

    async def _get(self, url: str) -> bytes:
        # Whoever could redirect us could name other keys.
        async with self._http.get(url, allow_redirects=False) as answer:
            if answer.status != 200:
                raise NoAnswerError("status")
            body = bytearray()
            async for piece in answer.content.iter_any():
                body += piece
                if len(body) > MOST_BYTES:
                    raise NoAnswerError("too_large")
            return bytes(body)


def session() -> aiohttp.ClientSession:
    """Keeps no cookie and unpacks nothing; it is closed by whoever asks for it."""
    return aiohttp.ClientSession(
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"Accept": "application/json", "Accept-Encoding": "identity"},
        auto_decompress=False,
    )
