"""What every HTTP answer shares: counting, problem details, JSON bytes, bearer tokens."""

from __future__ import annotations

import hashlib
import logging
import random
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus

import orjson
from aiohttp import hdrs, web

from geoingest import errors, metrics

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

JSON = "application/json"
PROBLEM = "application/problem+json"
# Senders told to come back spread over this many seconds instead of all in the same one.
RETRY_SPREAD_SECONDS = 10
_BEARER = "bearer "
_in_flight = metrics.http_requests_in_flight
_unauthenticated = metrics.auth_failures.labels("unauthenticated")

_Count = Callable[[], None]
_requests: dict[tuple[str, str, int], _Count] = {}
_durations: dict[tuple[str, str], Callable[[float], None]] = {}


@web.middleware
async def observe(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turns errors into answers and counts every answer by route."""
    started = time.perf_counter()
    _in_flight.inc()
    try:
        response = await _answer(request, handler)
    finally:
        _in_flight.dec()
    resource = request.match_info.route.resource
    if resource is None:
        method, route = "other", "unmatched"
    else:
        method, route = request.method, resource.canonical
    _count(method, route, response.status, time.perf_counter() - started)
    return response


async def _answer(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except errors.HttpError as exc:
        return problem(exc)
    except web.HTTPException as exc:
        return _problem_of(exc)
    except Exception:  # the root of a request: the caller gets an answer whatever broke
        log.exception("request failed")
        return _problem(500, "internal", "Something broke on our side", "")


def _count(method: str, route: str, status: int, seconds: float) -> None:
    count = _requests.get((method, route, status))
    observe_duration = _durations.get((method, route))
    if count is None or observe_duration is None:
        count = metrics.http_requests.labels(method, route, str(status)).inc
        observe_duration = metrics.http_request_duration.labels(method, route).observe
        _requests[method, route, status] = count
        _durations[method, route] = observe_duration
    count()
    observe_duration(seconds)


def problem(exc: errors.HttpError) -> web.Response:
    """The RFC 9457 answer of an error, with what the caller needs to come again."""
    response = _problem(exc.status, exc.reason, exc.title, exc.detail)
    if isinstance(exc, errors.ServiceError):
        seconds = random.randint(1, RETRY_SPREAD_SECONDS)  # noqa: S311  # no secret
        response.headers[hdrs.RETRY_AFTER] = str(seconds)
    elif isinstance(exc, errors.UnauthenticatedError):
        response.headers[hdrs.WWW_AUTHENTICATE] = "Bearer"
        _unauthenticated.inc()
    return response


def _problem_of(exc: web.HTTPException) -> web.Response:
    if isinstance(exc, web.HTTPRequestEntityTooLarge):
        return problem(errors.BodyTooLargeError())
    phrase = HTTPStatus(exc.status).phrase
    response = _problem(exc.status, phrase.lower().replace(" ", "_"), phrase, "")
    if isinstance(exc, web.HTTPMethodNotAllowed):
        response.headers[hdrs.ALLOW] = exc.headers[hdrs.ALLOW]
    return response


def _problem(status: int, reason: str, title: str, detail: str) -> web.Response:
    members = {"type": "about:blank", "title": title, "status": status, "reason": reason}
    if detail:
        members["detail"] = detail
    return web.Response(status=status, body=orjson.dumps(members), content_type=PROBLEM)


def bearer_digest(request: web.Request) -> bytes:
    """SHA-256 of the caller's bearer token; UnauthenticatedError without one."""
    header = request.headers.get(hdrs.AUTHORIZATION)
    if header is None or header[: len(_BEARER)].lower() != _BEARER:
        raise errors.UnauthenticatedError
    return hashlib.sha256(header[len(_BEARER) :].strip().encode()).digest()
