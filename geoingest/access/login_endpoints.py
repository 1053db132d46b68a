"""Logging in and out over HTTP."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Annotated, Any, TypeVar

import msgspec
from aiohttp import hdrs, web

from geoingest import http
from geoingest.access import accounts, addresses, body, logins, passwords, sessions

S = TypeVar("S", bound=msgspec.Struct)

# Two passwords, however they are written.
MOST_BODY_BYTES = 8 * 1024
_Email = Annotated[str, msgspec.Meta(min_length=1, max_length=254, pattern="^[^\u0000]*$")]
# Whatever is longer was never taken; a sign may have four bytes.
_Password = Annotated[str, msgspec.Meta(max_length=passwords.MOST_BYTES)]
_encode = msgspec.json.Encoder().encode
# Tokens stay in no cache on the way.
_PRIVATE = {hdrs.CACHE_CONTROL: "no-store"}


class LoginBody(msgspec.Struct):
    """E-mail and password."""

    email: _Email
    password: _Password


class PasswordBody(msgspec.Struct):
    """The password until now, and the one from now on."""

    old_password: _Password
    new_password: _Password


class LoginAnswer(msgspec.Struct):
    """The token of a new session, which is shown this once, and who has it."""

    token: str
    expires_at: datetime.datetime
    viewer_id: int
    role: str


class SessionShape(msgspec.Struct, rename={"is_this": "this"}):
    """A session, without its token; `this` is the one that asks."""

    session_id: int
    created_at: datetime.datetime
    used_at: datetime.datetime
    ends_at: datetime.datetime
    is_this: bool


class SessionsAnswer(msgspec.Struct):
    """A viewer's own sessions, the newest first."""

    sessions: Sequence[SessionShape]


class Endpoints:
    """The handlers."""

    def __init__(
        self,
        entering: logins.Logins,
        own: sessions.Sessions,
        *,
        trusted_proxies: str,
        body_timeout_seconds: float,
    ) -> None:
        self._logins = entering
        self._sessions = own
        self._trusted = addresses.networks(trusted_proxies)
        self._body_timeout_seconds = body_timeout_seconds

    async def post_login(self, request: web.Request) -> web.Response:
        """A session for an e-mail and its password."""
        asked = await self._read(request, LoginBody)
        email = accounts.normalised(asked.email)
        found = await self._logins.log_in(logins.Try(email, asked.password, self._address(request)))
        return _json(LoginAnswer(found.token, found.ends_at, found.viewer_id, found.role))

    async def post_logout(self, request: web.Request) -> web.Response:
        """The end of the session that asks."""
        await self._sessions.end(http.bearer_token(request.headers))
        return web.Response(status=204)

    async def get_sessions(self, request: web.Request) -> web.Response:
        """One's own."""
        found = await self._sessions.of_owner(http.bearer_token(request.headers))
        return _json(SessionsAnswer([SessionShape(*one) for one in found]))

    async def delete_sessions(self, request: web.Request) -> web.Response:
        """The end of them all."""
        await self._sessions.end_all(http.bearer_token(request.headers))
        return web.Response(status=204)

    async def post_password(self, request: web.Request) -> web.Response:
        """A new password, by who is logged in and knows the old one."""
        owner = await self._sessions.owner(http.bearer_token(request.headers))
        asked = await self._read(request, PasswordBody)
        email = await self._logins.email_of(owner)
        one = logins.Try(email, asked.old_password, self._address(request))
        await self._logins.change_password(owner, one, asked.new_password)
        return web.Response(status=204)

    async def _read(self, request: web.Request, kind: type[S]) -> S:
        seconds = self._body_timeout_seconds
        return await body.read(request, kind, seconds=seconds, most_bytes=MOST_BODY_BYTES)

    def _address(self, request: web.Request) -> str:
        forwarded = request.headers.getall(hdrs.X_FORWARDED_FOR, ())
        return addresses.client(request.remote, forwarded, self._trusted)


def routes(endpoints: Endpoints) -> list[web.RouteDef]:
    """The route table."""
    return [
        web.post("/v1/login", endpoints.post_login),
        web.post("/v1/logout", endpoints.post_logout),
        web.get("/v1/sessions", endpoints.get_sessions),
        web.delete("/v1/sessions", endpoints.delete_sessions),
        web.post("/v1/password", endpoints.post_password),
    ]


def _json(answer: Any) -> web.Response:  # a struct of ours
    return web.Response(body=_encode(answer), content_type=http.JSON, headers=_PRIVATE)
