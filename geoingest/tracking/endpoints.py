"""The read side: where a student is, where many are, where one was, what its days were like, and who looked."""

from __future__ import annotations

import datetime
import functools
from collections.abc import Callable
from typing import TypeVar

import msgspec
from aiohttp import hdrs, web

from geoingest import errors, http, metrics
from geoingest.tracking import (
    acting,
    cursor,
    days,
    desk,
    export,
    formats,
    geojson,
    latest,
    lookups,
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


class Endpoints:
    """The read side's handlers."""

    def __init__(
        self,
        answering: desk.Desk,
        *,
        detail_days: int,
        rollup_days: int,
        lookup_days: int,
        now: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(datetime.UTC),
    ) -> None:
        self._desk = answering
        self._detail = datetime.timedelta(days=detail_days)
        self._rollup = datetime.timedelta(days=rollup_days)
        self._lookup = datetime.timedelta(days=lookup_days)
        self._now = now

    async def get_location(self, request: web.Request) -> web.Response:
        """The newest ping of one student."""
        token = http.bearer_token(request.headers)
        student_id = parameters.student_id(request)
        now = self._now()

        async def query(asking: acting.Asking) -> shapes.Location | None:
            return await latest.fetch(asking, student_id, horizon=now - self._detail, now=now)

        answer = await self._desk.answer(
            desk.Question(token, student_id, "location"), query, lambda found: int(bool(found))
        )
        if answer.result is None:
            raise errors.NoPositionError
        return _json(shapes.location_answer(answer.result, answer.as_of, answer.source))

    async def get_locations(self, request: web.Request) -> web.Response:
        """The newest ping of each student asked for, or of all the viewer may see."""
        token = http.bearer_token(request.headers)
        wanted = parameters.student_ids(request)
        now = self._now()

        async def query(asking: acting.Asking, students: list[int]) -> dict[int, shapes.Location]:
            found = await latest.fetch_many(asking, students, horizon=now - self._detail, now=now)
            return {one.student_id: one for one in found}

        answer = await self._desk.answer_many(token, wanted, query, limit=_MOST_LOCATIONS)
        return _json(shapes.LocationsAnswer(answer.result, answer.as_of, answer.source))

    async def get_track(self, request: web.Request) -> web.StreamResponse:
        """Where one student was in a window: a page of it, or as a file the whole."""
        token = http.bearer_token(request.headers)
        student_id = parameters.student_id(request)
        media_type = parameters.media_type(request, _SERVED)
        now = self._now()
        window = parameters.window(
            request, horizon=now - self._detail, oldest=now - self._rollup, now=now
        )
        question = desk.Question(token, student_id, "track", window.start, window.end)
        if form := formats.FORMATS.get(media_type):
            parameters.refuse_page(request)
            return await self._export(request, form, question._replace(kind="export"), window)
        limit, after = parameters.page(request, window.resolution)

        async def query(asking: acting.Asking) -> track.Page:
            with metrics.track_query_duration.time():
                begin = after or await track.fitting(asking, student_id, window, limit=limit)
                return await track.fetch(asking, student_id, window, begin, limit=limit)

        answer = await self._desk.answer(question, query, lambda page: len(page.points))
        page = answer.result
        answer = _rolled(answer, page.rolled_to)
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

    async def _export(
        self,
        request: web.Request,
        form: formats.Format,
        question: desk.Question,
        window: track.Window,
    ) -> web.StreamResponse:
        async def query(begin: cursor.Cursor, asking: acting.Asking) -> track.Page:
            with metrics.track_query_duration.time():
                return await track.fetch(
                    asking, question.student_id, window, begin, limit=export.PAGE_POINTS
                )

        async def ask_more(after: cursor.Cursor) -> replica.Answer[track.Page]:
            answer = await self._desk.go_on(question, functools.partial(query, after))
            return _rolled(answer, answer.result.rolled_to)

        # Its rows are not known before its end, and its record is not changed then.
        first = functools.partial(query, track.finest(window))
        answer = await self._desk.answer(question, first, lambda _: None)
        answer = _rolled(answer, answer.result.rolled_to)
        return await export.stream(request, form, answer, ask_more)

    async def get_days(self, request: web.Request) -> web.Response:
        """One student's days."""
        token = http.bearer_token(request.headers)
        student_id = parameters.student_id(request)
        now = self._now()
        span = parameters.span(request, oldest=now - self._rollup, now=now)

        query = functools.partial(days.fetch, student_id=student_id, span=span)
        question = desk.Question(token, student_id, "days", *days.instants(span))
        answer = await self._desk.answer(question, query, lambda found: len(found[0]))
        found, rolled_to = answer.result
        answer = _rolled(answer, rolled_to)
        return _json(shapes.DaysAnswer(student_id, found, answer.as_of, answer.source))

    async def get_lookups(self, request: web.Request) -> web.Response:
        """Who looked at one student."""
        token = http.bearer_token(request.headers)
        student_id = parameters.student_id(request)
        now = self._now()
        window = parameters.lookup_window(request, oldest=now - self._lookup, now=now)
        limit, after = parameters.lookup_page(request)

        async def query(asking: acting.Asking) -> lookups.Page:
            return await lookups.fetch(asking, student_id, window, after, limit=limit)

        question = desk.Question(token, student_id, "lookups", window.start, window.end)
        answer = await self._desk.answer(question, query, lambda page: len(page.lookups))
        page, following = answer.result.lookups, lookups.write(answer.result.following)
        return _json(shapes.LookupsAnswer(student_id, page, following, answer.as_of, answer.source))


def routes(endpoints: Endpoints) -> list[web.RouteDef]:
    """The route table of the read side."""
    return [
        web.get(r"/v1/students/{student_id:[0-9]+}/location", endpoints.get_location),
        web.get(r"/v1/students/{student_id:[0-9]+}/track", endpoints.get_track),
        web.get(r"/v1/students/{student_id:[0-9]+}/days", endpoints.get_days),
        web.get(r"/v1/students/{student_id:[0-9]+}/lookups", endpoints.get_lookups),
        web.get("/v1/locations", endpoints.get_locations),
    ]


def _rolled(answer: replica.Answer[T], rolled_to: datetime.datetime | None) -> replica.Answer[T]:
    """Rollups are complete only as far as pings are rolled up."""
    if rolled_to is None or rolled_to > answer.as_of:
        return answer
    return answer._replace(as_of=rolled_to)


def _json(answer: msgspec.Struct, *, content_type: str = http.JSON) -> web.Response:
    return web.Response(body=_encode(answer), content_type=content_type, headers=_PRIVATE)
