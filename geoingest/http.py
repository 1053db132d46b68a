"""What all of HTTP shares: counting, problem details, JSON bytes, bodies, bearer tokens."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import logging
import math
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import NamedTuple

import orjson
from aiohttp import ClientPayloadError, hdrs, web
from aiohttp.web_urldispatcher import AbstractRoute

from geoingest import errors, metrics

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

JSON = "application/json"
PROBLEM = "application/problem+json"
# Senders told to come back spread over this many seconds instead of all in the same one.
RETRY_SPREAD_SECONDS = 10
_BEARER = "bearer "
_COUNTED = (hdrs.METH_GET, hdrs.METH_HEAD, hdrs.METH_POST, hdrs.METH_DELETE)
_unauthenticated = metrics.auth_failures.labels("unauthenticated")


class Counters(NamedTuple):
    """The two things counted per answer, looked up once per route, method and status."""

    answered: Callable[[], None]
    lasted: Callable[[float], None]


_counters: dict[tuple[AbstractRoute | None, str, int], Counters] = {}


class Traffic:
    """Requests being answered now, and whether these are to be the last of their connections."""

    def __init__(self) -> None:
        self.under_way = 0
        self.is_draining = False


traffic = Traffic()


class Problem(NamedTuple):
    """An RFC 9457 answer: what goes over the wire, and whether the connection ends with it."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    closes_connection: bool


def drain() -> None:
    """From now on every answer tells its sender to connect elsewhere."""
    traffic.is_draining = True


@web.middleware
async def observe(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turns errors into answers and counts every answer by route."""
    started = time.perf_counter()
    traffic.under_way += 1
    try:
        response = await handler(request)
    except errors.HttpError as exc:
        response = _response(problem(exc))
    except web.HTTPException as exc:
        response = _response_of(exc)
    except Exception:  # the root of a request: the caller gets an answer whatever broke
        log.exception("request failed")
        response = _response(internal_problem())
    finally:
        traffic.under_way -= 1
    route: AbstractRoute | None = request.match_info.route
    if route is not None and route.resource is None:
        route = None
    # Apps may be let to choose any: the label has few values all the same.
    method = request.method if route and request.method in _COUNTED else "other"
    counted = _counters.get((route, method, response.status))
    if counted is None:
        resource = route.resource if route else None
        name = resource.canonical if resource else "unmatched"
        counted = counters(method, name, response.status)
        _counters[route, method, response.status] = counted
    counted.answered()
    counted.lasted(time.perf_counter() - started)
    if traffic.is_draining:
        response.force_close()
    return response


@functools.cache
def counters(method: str, route: str, status: int) -> Counters:
    """What counts the answers of one route, method and status: closed sets, all three."""
    return Counters(
        metrics.http_requests.labels(method, route, str(status)).inc,
        metrics.http_request_duration.labels(method, route).observe,
    )


metrics.watch(metrics.http_requests_in_flight, lambda: traffic.under_way)


def problem(exc: errors.HttpError) -> Problem:
    """The answer of an error, with what the caller needs to come again."""
    headers: dict[str, str] = {}
    if isinstance(exc, errors.ServiceError):
        seconds = random.randint(1, RETRY_SPREAD_SECONDS)  # noqa: S311  # no secret
        headers[hdrs.RETRY_AFTER] = str(seconds)
    elif isinstance(exc, errors.TooManyRequestsError):
        headers[hdrs.RETRY_AFTER] = str(math.ceil(exc.wait_seconds))
    elif isinstance(exc, errors.UnauthenticatedError):
        headers[hdrs.WWW_AUTHENTICATE] = "Bearer"
        _unauthenticated.inc()
    body = _body(exc.status, exc.reason, exc.title, exc.detail)
    return Problem(exc.status, headers, body, exc.closes_connection)


def internal_problem() -> Problem:
    """500: a bug of ours."""
    return Problem(500, {}, _body(500, "internal", "Something broke on our side", ""), False)


def _response(made: Problem) -> web.Response:
    response = web.Response(
        status=made.status, body=made.body, headers=made.headers, content_type=PROBLEM
    )
    if made.closes_connection:
        response.force_close()
    return response


def _response_of(exc: web.HTTPException) -> web.Response:
    if isinstance(exc, web.HTTPRequestEntityTooLarge):
        return _response(problem(errors.BodyTooLargeError()))
    phrase = HTTPStatus(exc.status).phrase
    headers: dict[str, str] = {}
    if isinstance(exc, web.HTTPMethodNotAllowed):
        headers[hdrs.ALLOW] = exc.headers[hdrs.ALLOW]
    body = _body(exc.status, phrase.lower().replace(" ", "_"), phrase, "")
    return _response(Problem(exc.status, headers, body, False))


# Details are few: they speak of the request's kind, never of its content.
@functools.lru_cache(maxsize=64)
def _body(status: int, reason: str, title: str, detail: str) -> bytes:
    members = {"type": "about:blank", "title": title, "status": status, "reason": reason}
    if detail:
        members["detail"] = detail
    return orjson.dumps(members)


def bearer_token(headers: Mapping[str, str]) -> str:
    """The caller's bearer token; UnauthenticatedError without one."""
    header = headers.get(hdrs.AUTHORIZATION)
    if header is None or header[: len(_BEARER)].lower() != _BEARER:
        raise errors.UnauthenticatedError
    return header[len(_BEARER) :].strip()


def path_number(request: web.Request, name: str, *, most: int) -> int:
    """A number of the path; NotFoundError for one that nothing can have."""
    text = request.match_info[name]
    number = int(text) if len(text) <= len(str(most)) else 0
    if not 0 < number <= most:
        raise errors.NotFoundError
    return number


async def read_body(request: web.Request, *, seconds: float) -> bytes:
    """The whole body; TimeoutError when it does not come in time, BrokenBodyError when it is cut.

    In small pieces: the request's own way to read would unpack some bodies' worth before it counts.
    """
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            while piece := await request.content.readany():
                body += piece
                if len(body) > request.client_max_size:
                    raise web.HTTPRequestEntityTooLarge(request.client_max_size)
            return bytes(body)
    except (ClientPayloadError, web.RequestPayloadError, ConnectionError) as exc:
        # Nothing more to read: the server would trip over the same error again.
        request.content.feed_eof()
        raise errors.BrokenBodyError from exc


def digest(token: str) -> bytes:
    """SHA-256 of a token's bytes as they came: a header may hold what is no text."""
    return hashlib.sha256(token.encode(errors="surrogateescape")).digest()
