"""The read side: where a student is, where many are, and where one was."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Protocol

import msgspec
from aiohttp import hdrs, web

from geoingest import db, errors, http, metrics
from geoingest.tracking import latest, parameters, replica, shapes, track

GEOJSON = "application/geo+json"
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
        now: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(datetime.UTC),
    ) -> None:
        self._permits = permits
        self._source = source
        self._detail = datetime.timedelta(days=detail_days)
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

    async def get_track(self, request: web.Request) -> web.Response:
        """One student's pings in a window."""
        digest = http.bearer_digest(request.headers)
        student_id = parameters.student_id(request)
        as_geojson = _wants_geojson(request)
        now = self._now()
        window = parameters.window(request, horizon=now - self._detail, now=now)

        async def query(
            connection: db.Connection,
        ) -> tuple[list[shapes.Point], track.Cursor | None]:
            await self._permits.require(connection, digest, student_id)
            with metrics.track_query_duration.time():
                return await track.fetch(connection, student_id, window)

        answer = await self._source.ask(query)
        points, following = answer.result
        metrics.track_points.observe(len(points))
        shape = shapes.TrackAnswer(
            student_id, "raw", points, track.write_cursor(following), answer.as_of, answer.source
        )
        if as_geojson:
            return _json(shapes.features(shape), content_type=GEOJSON)
        return _json(shape)


def routes(endpoints: Endpoints) -> list[web.RouteDef]:
    """The route table of the read side."""
    return [
        web.get(r"/v1/students/{student_id:[0-9]+}/location", endpoints.get_location),
        web.get(r"/v1/students/{student_id:[0-9]+}/track", endpoints.get_track),
        web.get("/v1/locations", endpoints.get_locations),
    ]


def _wants_geojson(request: web.Request) -> bool:
    """The first media type of Accept that is served here; NotAcceptableError when none is."""
    accept = request.headers.get(hdrs.ACCEPT, "*/*")
    for part in accept.split(","):
        kind = part.partition(";")[0].strip().lower()
        if kind == GEOJSON:
            return True
        if kind in {http.JSON, "application/*", "*/*", ""}:
            return False
    raise errors.NotAcceptableError(f"served here: {http.JSON}, {GEOJSON}")


def _json(answer: msgspec.Struct, *, content_type: str = http.JSON) -> web.Response:
    return web.Response(body=_encode(answer), content_type=content_type, headers=_PRIVATE)
