"""Tokens of the school platform (JWT): who is meant by one that its issuer signed for us."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple

import jwt
import msgspec

from geoingest import config, errors
from geoingest.access import issuer, jwks, keyring

# Whatever fits into one header line of a request.
MOST_CHARACTERS = 8_000
# For a clock of the issuer that is ahead of ours; an end needs no such grace.
LEEWAY_SECONDS = 10.0
_LONGEST_SUBJECT = 255
_REQUIRED = ["iss", "aud", "exp", "sub"]


class Terms(NamedTuple):
    """Which tokens are taken."""

    issuer: str
    audience: str
    algorithms: tuple[str, ...]


class Holder(NamedTuple):
    """Whom a token means: a viewer's external_id; and when it ends, in unix seconds."""

    subject: str
    ends_at: float


class _Header(msgspec.Struct):
    alg: str
    kid: str | None = None


class Platform:
    """Verifies tokens; who they may see is not in them, but in our directory."""

    def __init__(
        self, terms: Terms, keys: keyring.Keyring, *, now: Callable[[], float] = time.time
    ) -> None:
        self._terms = terms
        self._keys = keys
        self._now = now

    async def holder(self, token: str) -> Holder:
        """Whom this token means; UnauthenticatedError, or IssuerAwayError.

        It takes 0.1 ms of the event loop, half a millisecond where the token is very long.
        """
        if len(token) > MOST_CHARACTERS or not token.isascii():
            raise errors.UnauthenticatedError
        try:
            key = await self._keys.find(_key_named(token, self._terms.algorithms))
            claims = jwt.decode(
                token,
                key,
                algorithms=[key.algorithm_name],
                issuer=self._terms.issuer,
                audience=self._terms.audience,
                leeway=LEEWAY_SECONDS,
                options={"require": _REQUIRED},
            )
        except jwt.PyJWTError as exc:
            raise errors.UnauthenticatedError from exc
        return _holder(claims, now=self._now())


def is_jwt(token: str) -> bool:
    """True for what has the three parts of a JWT; none of our own tokens has."""
    return token.count(".") == 2


@contextlib.asynccontextmanager
async def trusted(settings: config.Config) -> AsyncIterator[Platform | None]:
    """The platform whose tokens are taken, while its keys are kept up to date; None where there is none."""
    if not settings.oidc_issuer:
        yield None
        return
    algorithms = settings.oidc_algorithm_names
    async with issuer.session() as session:
        platform = issuer.Issuer(session, settings.oidc_issuer, keys_url=settings.oidc_jwks_url)
        keys = keyring.Keyring(platform.keys, algorithms)
        task = asyncio.create_task(keys.run())
        try:
            terms = Terms(settings.oidc_issuer, settings.oidc_audience, algorithms)
            yield Platform(terms, keys)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def _key_named(token: str, algorithms: tuple[str, ...]) -> jwks.Name:
    """Which key the token names, for an algorithm that we allow; it is believed in nothing else."""
    text = token.partition(".")[0]
    try:
        padded = text + "=" * (-len(text) % 4)
        header = msgspec.json.decode(base64.urlsafe_b64decode(padded), type=_Header)
    except (msgspec.DecodeError, ValueError, RecursionError) as exc:
        raise errors.UnauthenticatedError from exc
    if header.alg not in algorithms:
        raise errors.UnauthenticatedError
    return jwks.Name(header.kid, header.alg)


def _holder(claims: dict[str, Any], *, now: float) -> Holder:
    """The claims that the library has found to be valid, held to what it lets pass."""
    subject, ends_at = claims["sub"], int(claims["exp"])
    if ends_at <= now or not 0 < len(subject) <= _LONGEST_SUBJECT or not subject.isprintable():
        raise errors.UnauthenticatedError
    return Holder(subject, ends_at)
