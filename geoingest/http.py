"""What every HTTP answer shares: counting, problem details, JSON bytes, bearer tokens."""

from __future__ import annotations

import hashlib
import logging
import random
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import NamedTuple

import orjson
from aiohttp import hdrs, web
from aiohttp.web_urldispatcher import AbstractRoute

from geoingest import errors, metrics

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

JSON = "application/json"
PROBLEM = "application/problem+json"
# Senders told to come back spread over this many seconds instead of all in the same one.
RETRY_SPREAD_SECONDS = 10
_BEARER = "bearer "
_unauthenticated = metrics.auth_failures.labels("unauthenticated")


class _Counters(NamedTuple):
    """The two things counted per answer, looked up once per route, method and status."""

    answered: Callable[[], None]
    lasted: Callable[[float], None]


_counters: dict[tuple[AbstractRoute | None, str, int], _Counters] = {}


class _Traffic:
    """Requests being answered now, and whether these are to be the last of their connections."""

    def __init__(self) -> None:
        self.under_way = 0
        self.is_draining = False


_traffic = _Traffic()


def drain() -> None:
    """From now on every answer tells its sender to connect elsewhere."""
    _traffic.is_draining = True


@web.middleware
async def observe(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turns errors into answers and counts every answer by route."""
    started = time.perf_counter()
    _traffic.under_way += 1
    try:
        response = await handler(request)
    except errors.HttpError as exc:
        response = problem(exc)
    except web.HTTPException as exc:
        response = _problem_of(exc)
    except Exception:  # the root of a request: the caller gets an answer whatever broke
        log.exception("request failed")
        response = _problem(500, "internal", "Something broke on our side", "")
    finally:
        _traffic.under_way -= 1
    route: AbstractRoute | None = request.match_info.route
    if route is not None and route.resource is None:
        route = None
    method = request.method if route else "other"
    counters = _counters.get((route, method, response.status))
    if counters is None:
        counters = _counters_of(route, method, response.status)
    counters.answered()
    counters.lasted(time.perf_counter() - started)
    if _traffic.is_draining:
        response.force_close()
    return response


def _counters_of(route: AbstractRoute | None, method: str, status: int) -> _Counters:
    resource = route.resource if route else None
    name = resource.canonical if resource else "unmatched"
    counters = _Counters(
        metrics.http_requests.labels(method, name, str(status)).inc,
        metrics.http_request_duration.labels(method, name).observe,
    )
    _counters[route, method, status] = counters
    return counters


metrics.watch(metrics.http_requests_in_flight, lambda: _traffic.under_way)


def problem(exc: errors.HttpError) -> web.Response:
    """The RFC 9457 answer of an error, with what the caller needs to come again."""
    response = _problem(exc.status, exc.reason, exc.title, exc.detail)
    if exc.closes_connection:
        response.force_close()
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
