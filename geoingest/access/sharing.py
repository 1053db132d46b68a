"""Shares over HTTP: who sees a student lets others look for a while, and takes it back."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Annotated

import msgspec
from aiohttp import hdrs, web

from geoingest import errors, http
from geoingest.access import bearers, body, shares

DEFAULT_HOURS = 24.0
MOST_HOURS = shares.LONGEST / datetime.timedelta(hours=1)
_LARGEST_STUDENT_ID = 2**63 - 1
_LARGEST_SHARE_ID = 2**31 - 1
_Instant = Annotated[
    datetime.datetime, msgspec.Meta(tz=True, description="RFC 3339 with an offset")
]
_encode = msgspec.json.Encoder().encode
_PRIVATE = {hdrs.CACHE_CONTROL: "no-store"}


class ShareBody(msgspec.Struct, forbid_unknown_fields=True):
    """When a share is to end: after so many hours, or at an instant; a day from now when neither is said."""

    hours: Annotated[float, msgspec.Meta(gt=0, le=MOST_HOURS)] | None = None
    ends_at: _Instant | None = None


class MadeAnswer(msgspec.Struct):
    """A new share; its token is told this once."""

    share_id: int
    token: str
    ends_at: datetime.datetime


class ShareAnswer(msgspec.Struct):
    """A share that has not ended: who made it, and when it ends."""

    share_id: int
    viewer_id: int
    created_at: datetime.datetime
    ends_at: datetime.datetime


class SharesAnswer(msgspec.Struct):
    """The shares of one student that have not ended, in the order in which they were made."""

    student_id: int
    shares: list[ShareAnswer]


class Endpoints:
    """The handlers of shares. Whose a token is, is asked anew each time: they are few."""

    def __init__(
        self,
        known: bearers.Bearers,
        kept: shares.Shares,
        *,
        body_timeout_seconds: float,
        now: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(datetime.UTC),
    ) -> None:
        self._bearers = known
        self._shares = kept
        self._body_timeout_seconds = body_timeout_seconds
        self._now = now

    async def post_share(self, request: web.Request) -> web.Response:
        """Makes a share of one student."""
        bearer = await self._bearers.confirm(http.bearer_token(request.headers))
        student_id = http.path_number(request, "student_id", most=_LARGEST_STUDENT_ID)
        said = await body.read(request, ShareBody, seconds=self._body_timeout_seconds)
        made = await self._shares.add(bearer, student_id, _end(said, now=self._now()))
        return _json(MadeAnswer(*made), status=201)

    async def get_shares(self, request: web.Request) -> web.Response:
        """The shares of one student."""
        bearer = await self._bearers.confirm(http.bearer_token(request.headers))
        student_id = http.path_number(request, "student_id", most=_LARGEST_STUDENT_ID)
        found = await self._shares.of_student(bearer, student_id)
        return _json(SharesAnswer(student_id, [ShareAnswer(*one) for one in found]))

    async def delete_share(self, request: web.Request) -> web.Response:
        """Ends a share; once more is no mistake."""
        bearer = await self._bearers.confirm(http.bearer_token(request.headers))
        share_id = http.path_number(request, "share_id", most=_LARGEST_SHARE_ID)
        await self._shares.end(bearer, share_id)
        return web.Response(status=204)


def routes(endpoints: Endpoints) -> list[web.RouteDef]:
    """The route table of shares."""
    of_student = r"/v1/students/{student_id:[0-9]+}/shares"
    return [
        web.post(of_student, endpoints.post_share),
        web.get(of_student, endpoints.get_shares, allow_head=False),
        web.delete(r"/v1/shares/{share_id:[0-9]+}", endpoints.delete_share),
    ]


def _end(said: ShareBody, *, now: datetime.datetime) -> datetime.datetime | datetime.timedelta:
    """When it is to end; BadBodyError for what is over or too far away."""
    if said.ends_at is None:
        return datetime.timedelta(hours=said.hours or DEFAULT_HOURS)
    if said.hours is not None:
        raise errors.BadBodyError("hours or ends_at, not both")
    if not now < said.ends_at <= now + shares.LONGEST:
        raise errors.BadBodyError(f"ends_at: within the next {shares.LONGEST.days} days")
    return said.ends_at


def _json(answer: msgspec.Struct, *, status: int = 200) -> web.Response:
    return web.Response(
        body=_encode(answer), status=status, content_type=http.JSON, headers=_PRIVATE
    )
