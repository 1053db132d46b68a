"""The read side: where a student is, where many are, where one was, and what its days were like."""

from __future__ import annotations

import datetime
import functools
from collections.abc import Callable
from typing import Protocol, TypeVar

import msgspec
from aiohttp import hdrs, web

from geoingest import db, errors, http, metrics
from geoingest.tracking import (
    cursor,
    days,
    export,
    formats,
    geojson,
    latest,
    parameters,
    replica,
    shapes,
    track,
)

T = TypeVar("T")

GEOJSON = "application/geo+json"
_SERVED = (http.JSON, GEOJSON, *formats.FORMATS)
# What one answer holds when all are asked for.
_MOST_LOCATIONS = 5_000
_encode = msgspec.json.Encoder().encode
# Positions of children stay in no cache on the way.
_PRIVATE = {hdrs.CACHE_CONTROL: "no-store"}


class Permits(Protocol):
    """The port to access: may the bearer of this token see these students?"""

    async def require(self, connection: db.Connection, digest: bytes, student_id: int) -> None:
        """UnauthenticatedError, or NotFoundError for foreign and unknown students alike."""
        ...

    async def students(
        self, connection: db.Connection, digest: bytes, wanted: list[int] | None, *, limit: int
    ) -> list[int]:
        """Those of the wanted students (None: all) that the bearer may see."""
        ...


class Endpoints:
    """The read side's handlers."""

    def __init__(
        self,
        permits: Permits,
        source: replica.Replica,
        *,
        detail_days: int,
        rollup_days: int,
        now: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(datetime.UTC),
    ) -> None:
        self._permits = permits
        self._source = source
        self._detail = datetime.timedelta(days=detail_days)
        self._rollup = datetime.timedelta(days=rollup_days)
        self._now = now

    async def get_location(self, request: web.Request) -> web.Response:
        """The newest ping of one student."""
        digest = http.bearer_digest(request.headers)
        student_id = parameters.student_id(request)
        now = self._now()

        async def query(connection: db.Connection) -> shapes.Location:
            await self._permits.require(connection, digest, student_id)
            found = await latest.fetch(connection, student_id, horizon=now - self._detail, now=now)
            if found is None:
                raise errors.NoPositionError
            return found

        answer = await self._source.ask(query)
        return _json(shapes.location_answer(answer.result, answer.as_of, answer.source))

    async def get_locations(self, request: web.Request) -> web.Response:
        """The newest ping of each student asked for, or of all the viewer may see."""
        digest = http.bearer_digest(request.headers)
        wanted = parameters.student_ids(request)
        now = self._now()

        async def query(connection: db.Connection) -> list[shapes.Location]:
            students = await self._permits.students(
                connection, digest, wanted, limit=_MOST_LOCATIONS + 1
            )
            if len(students) > _MOST_LOCATIONS:
                raise errors.BadQueryError(f"more than {_MOST_LOCATIONS} students: name some")
            if wanted is not None and set(students) != set(wanted):
                raise errors.NotFoundError
            return await latest.fetch_many(
                connection, students, horizon=now - self._detail, now=now
            )

        answer = await self._source.ask(query)
        return _json(shapes.LocationsAnswer(answer.result, answer.as_of, answer.source))

    async def get_track(self, request: web.Request) -> web.StreamResponse:
        """Where one student was in a window: a page of it, or as a file the whole."""
        digest = http.bearer_digest(request.headers)
        student_id = parameters.student_id(request)
        media_type = parameters.media_type(request, _SERVED)
        now = self._now()
        window = parameters.window(
            request, horizon=now - self._detail, oldest=now - self._rollup, now=now
        )
        ask = functools.partial(self._page, digest, student_id, window)
        if form := formats.FORMATS.get(media_type):
            parameters.refuse_page(request)
            ask_more = functools.partial(ask, export.PAGE_POINTS)
            return await export.stream(request, form, track.finest(window), ask_more)
        answer = await ask(*parameters.page(request, window.resolution))
        page = answer.result
        metrics.track_points.observe(len(page.points))
        shape = shapes.TRACKS[page.resolution](
            student_id,
            page.resolution,
            page.points,
            cursor.write(page.following),
            answer.as_of,
            answer.source,
        )
        if media_type == GEOJSON:
            return _json(geojson.features(shape), content_type=GEOJSON)
        return _json(shape)

    async def _page(
        self,
        digest: bytes,
        student_id: int,
        window: track.Window,
        limit: int,
        after: cursor.Cursor | None,
    ) -> replica.Answer[track.Page]:
        async def query(connection: db.Connection) -> track.Page:
            await self._permits.require(connection, digest, student_id)
            with metrics.track_query_duration.time():
                begin = after or await track.fitting(connection, student_id, window, limit=limit)
                return await track.fetch(connection, student_id, window, begin, limit=limit)

        answer = await self._source.ask(query)
        return _rolled(answer, answer.result.rolled_to)

    async def get_days(self, request: web.Request) -> web.Response:
        """One student's days."""
        digest = http.bearer_digest(request.headers)
        student_id = parameters.student_id(request)
        now = self._now()
        span = parameters.span(request, oldest=now - self._rollup, now=now)

        async def query(
            connection: db.Connection,
        ) -> tuple[list[shapes.Day], datetime.datetime]:
            await self._permits.require(connection, digest, student_id)
            return await days.fetch(connection, student_id, span)

        answer = await self._source.ask(query)
        found, rolled_to = answer.result
        answer = _rolled(answer, rolled_to)
        return _json(shapes.DaysAnswer(student_id, found, answer.as_of, answer.source))


def routes(endpoints: Endpoints) -> list[web.RouteDef]:
    """The route table of the read side."""
    return [
        web.get(r"/v1/students/{student_id:[0-9]+}/location", endpoints.get_location),
        web.get(r"/v1/students/{student_id:[0-9]+}/track", endpoints.get_track),
        web.get(r"/v1/students/{student_id:[0-9]+}/days", endpoints.get_days),
        web.get("/v1/locations", endpoints.get_locations),
    ]


def _rolled(answer: replica.Answer[T], rolled_to: datetime.datetime | None) -> replica.Answer[T]:
    """Rollups are complete only as far as pings are rolled up."""
    if rolled_to is None or rolled_to > answer.as_of:
        return answer
    return answer._replace(as_of=rolled_to)


def _json(answer: msgspec.Struct, *, content_type: str = http.JSON) -> web.Response:
    return web.Response(body=_encode(answer), content_type=content_type, headers=_PRIVATE)
