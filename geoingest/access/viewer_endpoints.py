"""Routes by which an app learns who its viewer is, and of schools and classes."""

from __future__ import annotations

from aiohttp import hdrs, web

from geoingest import errors, http
from geoingest.access import viewers

# Who is at which school stays in no cache on the way.
_PRIVATE = {hdrs.CACHE_CONTROL: "no-store"}


class Endpoints:
    """The handlers."""

    def __init__(self, answering: viewers.Viewers) -> None:
        self._viewers = answering

    async def get_me(self, request: web.Request) -> web.Response:
        """Who asks."""
        return _json(await self._viewers.me(http.bearer_token(request.headers)))

    async def get_school(self, request: web.Request) -> web.Response:
        """A school's hours."""
        token = http.bearer_token(request.headers)
        return _json(await self._viewers.school(token, _number(request, "school_id")))

    async def get_students(self, request: web.Request) -> web.Response:
        """A class's students."""
        token = http.bearer_token(request.headers)
        return _json(await self._viewers.students_of_class(token, _number(request, "class_id")))


def routes(endpoints: Endpoints) -> list[web.RouteDef]:
    """The route table."""
    return [
        web.get("/v1/me", endpoints.get_me),
        web.get(r"/v1/schools/{school_id:[0-9]+}", endpoints.get_school),
        web.get(r"/v1/classes/{class_id:[0-9]+}/students", endpoints.get_students),
    ]


def _number(request: web.Request, name: str) -> int:
    """The number in the address; NotFoundError for one that no row can have."""
    digits = request.match_info[name]
    # Longer ones cost quadratic time to read.
    if len(digits) > 19 or int(digits) >= 2**31:
        raise errors.NotFoundError
    return int(digits)


def _json(body: bytes) -> web.Response:
    return web.Response(body=body, content_type=http.JSON, headers=_PRIVATE)
