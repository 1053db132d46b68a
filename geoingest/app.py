"""Introduces the parts to each other at the two ports: what phones and viewers reach, and what the operator does."""

from __future__ import annotations

import datetime
from typing import Any

from aiohttp import web

from geoingest import config, http, parts
from geoingest.access import (
    administrators,
    directory_endpoints,
    directory_import,
    login_endpoints,
    logins,
    sessions,
    shares,
    sharing,
    viewer_endpoints,
    viewers,
)
from geoingest.api import document
from geoingest.ingest import connection, endpoints, reception
from geoingest.operations import health, openapi
from geoingest.tracking import desk
from geoingest.tracking import endpoints as tracking_endpoints


def public(settings: config.Config, service: parts.Service) -> web.Application:
    """What phones and guardians reach."""
    app = web.Application(middlewares=[http.observe], client_max_size=settings.max_body_bytes)
    seconds = settings.body_timeout_seconds
    app.add_routes(endpoints.routes(service.doors, body_timeout_seconds=seconds))
    reading = tracking_endpoints.Endpoints(
        desk.Desk(
            service.bearers,
            service.seats,
            service.replica,
            desk.Records(few=service.audit, many=service.wide_audit),
        ),
        detail_days=settings.detail_days,
        rollup_days=settings.rollup_days,
        lookup_days=settings.lookup_days,
    )
    app.add_routes(tracking_endpoints.routes(reading))
    app.add_routes(login_endpoints.routes(_login_endpoints(settings, service)))
    answering = viewers.Viewers(service.primary, service.bearers, service.seats)
    app.add_routes(viewer_endpoints.routes(viewer_endpoints.Endpoints(answering)))
    directory = directory_endpoints.Endpoints(
        administrators.Administrators(service.bearers, service.primary),
        directory_import.Imports(service.connect),
    )
    app.add_routes(directory_endpoints.routes(directory))
    kept = shares.Shares(service.primary)
    app.add_routes(
        sharing.routes(sharing.Endpoints(service.bearers, kept, body_timeout_seconds=seconds))
    )
    app.add_routes(openapi.routes(document.document()))
    return app


def _login_endpoints(settings: config.Config, service: parts.Service) -> login_endpoints.Endpoints:
    terms = sessions.Terms(
        datetime.timedelta(days=settings.session_days),
        datetime.timedelta(days=settings.session_idle_days),
    )
    return login_endpoints.Endpoints(
        logins.Logins(
            service.primary,
            service.passwords,
            terms,
            tries_per_second=settings.logins_per_second,
        ),
        sessions.Sessions(service.primary, service.bearers),
        trusted_proxies=settings.trusted_proxies,
        body_timeout_seconds=settings.body_timeout_seconds,
    )


def public_runner(
    settings: config.Config, service: parts.Service, **options: Any
) -> reception.Runner:  # the options are the runner's own
    """The same behind the reception, where phones are answered without it."""
    limits = connection.Limits(
        settings.max_body_bytes, settings.body_timeout_seconds, settings.keepalive_seconds
    )
    return reception.Runner(public(settings, service), service.doors, limits, **options)


def admin(service: parts.Service) -> web.Application:
    """What the operator and Prometheus reach."""
    app = web.Application(middlewares=[http.observe])
    app.add_routes(health.routes(health.Endpoints(service.checks())))
    return app
