"""The service with two routes more, to compare with: one that only reads the body, one that INSERTs each ping."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator

import asyncpg
from aiohttp import web

from geoingest import app, config, http, logs, parts, ping, serve
from geoingest.ingest import answers, intake, rows, submission
from geoingest.local import child

BARE_PATH = "/bench/bare"
NAIVE_PATH = "/bench/naive"
POOL_CONNECTIONS = 10
_COLUMNS = '"' + '", "'.join(rows.COLUMNS) + '"'
_PLACES = ", ".join(f"${number}" for number in range(1, len(rows.COLUMNS) + 1))
_INSERT = f"INSERT INTO geolocation_data ({_COLUMNS}) VALUES ({_PLACES})"


class Inserts:
    """Stands where the queue stands: one INSERT and one commit per ping, through a pool."""

    def __init__(self, url: str, takes: intake.Intake) -> None:
        self._url = url
        self._intake = takes
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None

    async def running(self, _app: web.Application) -> AsyncIterator[None]:
        """Opens the pool for as long as the application runs."""
        async with asyncpg.create_pool(
            self._url, min_size=POOL_CONNECTIONS, max_size=POOL_CONNECTIONS
        ) as self._pool:
            yield

    async def post_ping(self, request: web.Request) -> web.Response:
        """Answers once every ping is committed."""
        assert self._pool is not None, "the application has started"
        sender = self._intake.sender(http.digest(http.bearer_token(request.headers)))
        decoded = self._intake.decode(sender, await request.read(), lines=False)
        for row in map(rows.decode, decoded.pings):
            await self._pool.execute(
                _INSERT,
                *row._replace(
                    timestamp_us=ping.instant(row.timestamp_us),  # type: ignore[arg-type]  # as the driver takes it
                    received_us=ping.instant(row.received_us),  # type: ignore[arg-type]
                ),
            )
        verdict = submission.Verdict(len(decoded.pings), 0)
        return web.Response(body=answers.encode(decoded, verdict), content_type=http.JSON)


async def post_bare(request: web.Request) -> web.Response:
    """What HTTP alone costs on this server."""
    await request.read()
    return web.Response(status=204)


def main() -> None:
    """Serves exactly as `geoingest serve` does, with our routes on the public port."""
    child.follow_parent()
    settings = config.load(os.environ)
    logs.configure(settings.log_format, settings.log_level)
    public = app.public

    def with_our_routes(settings: config.Config, service: parts.Service) -> web.Application:
        made = public(settings, service)
        made.router.add_post(BARE_PATH, post_bare)
        # Who is asking, the decoding and the answer are the service's own: only the write differs.
        inserts = Inserts(settings.database_url, service.intake)
        made.cleanup_ctx.append(inserts.running)
        made.router.add_post(NAIVE_PATH, inserts.post_ping)
        return made

    # Set in the module, so that the server around it is the same to the last setting.
    app.public = with_our_routes
    asyncio.run(serve.serve(settings))


if __name__ == "__main__":
    main()
