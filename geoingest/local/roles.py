"""The database's roles on an embedded primary, with the data folder's password."""

from __future__ import annotations

from typing import TypeAlias

import psycopg
from psycopg import sql

from geoingest import config

OWNER = "geoingest_owner"
JOBS = "geoingest_jobs"
INGEST = "geoingest_ingest"
READ = "geoingest_read"
ALL = (OWNER, JOBS, INGEST, READ)
# Who owned everything, and could end sessions and pause a replica, before there were roles.
_FORMER = "geoingest"
_FORMER_GRANTS = (
    "REVOKE pg_monitor, pg_signal_backend FROM geoingest_owner",
    "REVOKE EXECUTE ON FUNCTION pg_wal_replay_pause(), pg_wal_replay_resume() FROM geoingest_owner",
)

Superuser: TypeAlias = "psycopg.Connection[tuple[object, ...]]"


def make(superuser: Superuser, *, password: str) -> None:
    """Those of sql/roles.sql; a role that owned everything before becomes the owner."""
    if _is_there(superuser, _FORMER) and not _is_there(superuser, OWNER):
        rename = sql.SQL("ALTER ROLE {} RENAME TO {}")
        superuser.execute(rename.format(sql.Identifier(_FORMER), sql.Identifier(OWNER)))
    superuser.execute((config.sql_folder() / "roles.sql").read_text().encode())
    without = superuser.execute(
        "SELECT rolname FROM pg_authid WHERE rolname = any(%s) AND rolpassword IS NULL", [list(ALL)]
    )
    for (name,) in without.fetchall():
        statement = sql.SQL("ALTER ROLE {} PASSWORD {}")
        superuser.execute(statement.format(sql.Identifier(str(name)), sql.Literal(password)))


def settle(superuser: Superuser) -> None:
    """In the database itself: the owner may make tables, and no more than it needs."""
    # Up to PostgreSQL 14 everybody may, and none but a superuser can forbid it.
    superuser.execute("ALTER SCHEMA public OWNER TO pg_database_owner")
    for statement in _FORMER_GRANTS:
        superuser.execute(statement.encode())


def _is_there(superuser: Superuser, name: str) -> bool:
    return superuser.execute("SELECT to_regrole(%s) IS NOT NULL", [name]).fetchone() == (True,)
