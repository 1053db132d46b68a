"""The issuer's keys in memory, fetched by one task, however many wait.

How a token and the task talk:

1. The task fetches at the start, then every few minutes: a key that the issuer has withdrawn is forgotten.
2. A token names a key that is not known. It asks for a fetch and waits for its end, with all others that
   wait. After a fetch that was only just begun none is asked for: whoever makes up names moves nobody.
3. When the issuer is away, the keys that are known go on for an hour. A key that is not known is then
   nobody's fault but ours: 503. With the issuer's last word at hand it is the token's: 401.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
import typing
from collections.abc import Awaitable, Callable, Iterable, Sequence

import jwt

from geoingest import errors, metrics
from geoingest.access import issuer, jwks

log = logging.getLogger(__name__)

FRESH_SECONDS = 300.0
STALE_SECONDS = 3600.0
# Between two fetches that tokens ask for.
QUIET_SECONDS = 30.0
_FIRST_PAUSE_SECONDS = 1.0
_fetches = {
    outcome: metrics.issuer_fetches.labels(outcome)
    for outcome in ("ok", *typing.get_args(issuer.Reason))
}
_WAIT_SECONDS = issuer.FETCH_SECONDS + 1

Fetch = Callable[[], Awaitable[Sequence[jwks.Jwk]]]


class Keyring:
    """The keys by which tokens are verified."""

    def __init__(
        self,
        fetch: Fetch,
        algorithms: Iterable[str],
        *,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fetch = fetch
        self._algorithms = tuple(algorithms)
        self._now = now
        self._keys: jwks.Keys = {}
        self._fetched_at = self._begun_at = float("-inf")
        self._is_away = False
        self._is_wanted = asyncio.Event()
        # Of the fetch that is under way, or else of the next.
        self._end = asyncio.Event()
        self._is_under_way = False

    async def find(self, name: jwks.Name) -> jwt.PyJWK:
        """The key of this name; UnauthenticatedError when there is none, IssuerAwayError when we cannot know."""
        key = self._known(name)
        if key is None and await self._is_renewed():
            key = self._known(name)
        if key is not None:
            return key
        if self._is_away:
            raise errors.IssuerAwayError
        raise errors.UnauthenticatedError

    async def run(self) -> None:
        """Fetches for as long as the process lives; ends only when cancelled."""
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                await self._renew()
            except Exception:  # the root of a task: a bug must not leave the keys to grow old
                log.exception("keyring failed; it starts again")
                self._is_away = True
            pause = min(pause * 2, QUIET_SECONDS) if self._is_away else _FIRST_PAUSE_SECONDS
            # Jitter, so that processes do not knock in step.
            seconds = (pause if self._is_away else FRESH_SECONDS) * random.uniform(0.5, 1.0)  # noqa: S311  # no secret
            try:
                async with asyncio.timeout(seconds):
                    await self._is_wanted.wait()
            except TimeoutError:
                continue

    def _known(self, name: jwks.Name) -> jwt.PyJWK | None:
        if self._now() >= self._fetched_at + STALE_SECONDS:
            return None
        return jwks.find(self._keys, name)

    async def _is_renewed(self) -> bool:
        """False at once when the last fetch was only just begun."""
        if not self._is_under_way:
            if self._now() < self._begun_at + QUIET_SECONDS:
                return False
            self._is_wanted.set()
        try:
            async with asyncio.timeout(_WAIT_SECONDS):
                await self._end.wait()
        except TimeoutError as exc:
            raise errors.IssuerAwayError from exc
        return True

    async def _renew(self) -> None:
        self._is_wanted.clear()
        self._is_under_way, self._begun_at = True, self._now()
        try:
            published = await self._fetch()
        except issuer.NoAnswerError as exc:
            _fetches[exc.reason].inc()
            if not self._is_away:
                log.warning("the issuer does not tell its keys", extra={"reason": exc.reason})
            self._is_away = True
        else:
            _fetches["ok"].inc()
            if self._is_away:
                log.warning("the issuer tells its keys again")
            self._is_away = False
            self._keys = jwks.usable(published, self._algorithms)
            self._fetched_at = self._begun_at
            if not self._keys:
                log.warning("the issuer has no key that fits an algorithm that is allowed")
        finally:
            self._is_under_way = False
            self._end.set()
            self._end = asyncio.Event()
