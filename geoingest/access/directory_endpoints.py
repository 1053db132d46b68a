"""The door of the directory: PUT /v1/admin/…, for administrators.

To whoever has no token that is known here it answers 401, a device's among them; to every other viewer 404, as
for a student that is not theirs. Both before a byte of the body is read.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator

import msgspec
from aiohttp import ClientPayloadError, web

from geoingest import errors, http
from geoingest.access import administrators, directory, directory_import, directory_reading

MOST_BYTES = 64 * 2**20
_PIECE_BYTES = 16 * 1024
# Whoever takes longer for one keeps all others from importing.
_PIECE_SECONDS = 5.0
FORMS: dict[str, directory_reading.Form] = {"application/x-ndjson": "ndjson", "text/csv": "csv"}


class BadLinesProblem(msgspec.Struct, frozen=True):
    """Nothing has changed: how many lines are bad, and the first thousand of them."""

    type: str
    title: str
    status: int
    reason: str
    bad: int
    bad_lines: list[directory.BadLine]


class Body:
    """A request's bytes in pieces, decompressed, no more than there may be."""

    def __init__(self, request: web.Request) -> None:
        self._request = request
        self.is_whole = False

    async def pieces(self) -> AsyncIterator[bytes]:
        """Each as it comes; BodyTooLargeError, BrokenBodyError where it is cut, BodyTimeoutError where it stalls."""
        content, count = self._request.content, 0
        try:
            while piece := await self._piece():
                count += len(piece)
                if count > MOST_BYTES:
                    raise errors.BodyTooLargeError(f"send at most {MOST_BYTES} bytes")
                yield piece
        except (ClientPayloadError, web.RequestPayloadError, ConnectionError) as exc:
            # Nothing more to read: the server would trip over the same error again.
            content.feed_eof()
            raise errors.BrokenBodyError from exc
        self.is_whole = True

    async def _piece(self) -> bytes:
        """A whole one, or the last."""
        piece = b""
        try:
            async with asyncio.timeout(_PIECE_SECONDS):
                while len(piece) < _PIECE_BYTES:
                    part = await self._request.content.read(_PIECE_BYTES - len(piece))
                    if not part:
                        break
                    piece += part
        except TimeoutError as exc:
            raise errors.BodyTimeoutError from exc
        return piece


class Endpoints:
    """Takes a body for an administrator."""

    def __init__(
        self, admins: administrators.Administrators, imports: directory_import.Imports
    ) -> None:
        self._admins = admins
        self._imports = imports

    async def put(self, kind: str, request: web.Request) -> web.Response:
        """200 with what has changed, once it is committed; 422 with the bad lines, and nothing has."""
        bearer = await self._admins.require(http.bearer_token(request.headers))
        form = FORMS.get(request.content_type)
        if form is None:
            raise errors.UnsupportedMediaTypeError(f"send {' or '.join(FORMS)}")
        if (request.content_length or 0) > MOST_BYTES:
            raise errors.BodyTooLargeError(f"send at most {MOST_BYTES} bytes")
        done = await self._imports.put(kind, form, Body(request), bearer)
        if isinstance(done, directory.Report):
            return web.Response(body=msgspec.json.encode(done), content_type=http.JSON)
        problem = BadLinesProblem(
            "about:blank",
            "Some lines are bad, so that nothing was changed",
            422,
            "bad_lines",
            *done,
        )
        return web.Response(
            status=422, body=msgspec.json.encode(problem), content_type=http.PROBLEM
        )


def routes(endpoints: Endpoints) -> list[web.RouteDef]:
    """The route table: each kind by its own name, so that metrics tell them apart."""
    return [
        web.put(f"/v1/admin/{kind}", functools.partial(endpoints.put, kind))
        for kind in directory.KINDS
    ]
