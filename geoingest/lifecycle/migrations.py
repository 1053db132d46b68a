"""The schema moves forward: plain SQL files of sql/migrations, applied by yoyo under our own lock; then the grants.

yoyo's lock is a row, which a killed process leaves behind. Ours is the database's and dies with its
connection; whoever holds it may therefore remove a row that is still there.
"""

from __future__ import annotations

import datetime
import logging
import urllib.parse

import psycopg.conninfo
import yoyo

from geoingest import config, db
from geoingest.lifecycle import locks, partitions

log = logging.getLogger(__name__)

_PATIENCE_SECONDS = 120.0


def run(url: str, *, detail_days: int, now: datetime.datetime) -> list[str]:
    """Applies what is missing and makes the months of the detail window; the names of what was new."""
    with (
        db.direct(url) as connection,
        locks.hold(connection, locks.SCHEMA, patience_seconds=_PATIENCE_SECONDS),
    ):
        applied = _apply(_yoyo_url(url, connection))
        connection.execute(db.queries()["put_timeouts_in_force"])
        made = partitions.ensure(connection, detail_days=detail_days, now=now)
        _grant(connection)
    return applied + made


def _grant(connection: db.DirectConnection) -> None:
    found = db.one(connection.execute(db.queries()["roles_are_there"]))
    if not found["are_there"]:
        path = config.sql_folder() / "roles.sql"
        log.warning(
            "the roles of the service are missing, so nothing is granted to them;"
            " as a superuser run: psql -f %s; then again: geoingest migrate",
            path,
        )
        return
    with connection.transaction():
        connection.execute((config.sql_folder() / "grants.sql").read_bytes())


def _apply(url: str) -> list[str]:
    migrations = yoyo.read_migrations(str(config.sql_folder() / "migrations"))
    backend = yoyo.get_backend(url)
    try:
        backend.break_lock()
        with backend.lock():
            missing = backend.to_apply(migrations)
            backend.apply_migrations(missing)
    finally:
        backend.connection.close()
    return [migration.id for migration in missing]


def _yoyo_url(url: str, connection: db.DirectConnection) -> str:
    """The server that we are connected to, in yoyo's words: it knows URLs of one host only."""
    here = connection.info
    parameters = psycopg.conninfo.conninfo_to_dict(url, host=here.host, port=here.port)
    return "postgresql+psycopg:///?" + urllib.parse.urlencode(parameters)
