"""What the service's roles may do: no connection is used before it is known that its role can do no harm.

1. Each connection that is opened for a setting is admitted before its first use; once one was, the rest are.
2. A role that may do too much, or not what it is for, ends the process: `refused` is set, and the reason is in
   the SettingsError. Where everything answers that is before any port is open.
3. A server that is away stops nothing. As soon as it answers, 1 and 2 hold.
4. What is missing on a standby, or before the first `geoingest migrate`, may be on its way: until it is there,
   there is no connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, NamedTuple, TypeAlias

import asyncpg

from geoingest import config, db, errors

log = logging.getLogger(__name__)

Setting: TypeAlias = Literal["DATABASE_URL", "DATABASE_READ_URL", "DATABASE_REPLICA_URL"]

# A server that hangs keeps a start waiting no longer.
_PATIENCE_SECONDS = 1.0
_NEXT = {
    "DATABASE_URL": "name geoingest_ingest in DATABASE_URL",
    "DATABASE_READ_URL": "name geoingest_read in DATABASE_READ_URL",
    "DATABASE_REPLICA_URL": "name geoingest_read in DATABASE_REPLICA_URL",
}


class NotAdmittedError(asyncpg.InterfaceError):
    """There is no such connection; whoever wanted it does as where a server is away."""


class Found(NamedTuple):
    """What a role may do, also by becoming another one."""

    role_name: str
    has_schema: bool
    in_recovery: bool
    is_superuser: bool
    bypasses_row_security: bool
    owns_tables: bool
    makes_tables: bool
    is_granted_a_month: bool
    reads_all_positions: bool
    may_write: bool | None
    may_read: bool | None

    def excess(self) -> str | None:
        """What a role of the service must not be; None for a role that is fit."""
        reasons = {
            "is a superuser, or as good as one": self.is_superuser,
            "bypasses row-level security": self.bypasses_row_security,
            "owns tables, or may become who does": self.owns_tables,
            "is granted something on a partition, past row-level security": self.is_granted_a_month,
            "reads positions past row-level security": self.reads_all_positions,
            "may make tables in the schema public, which geoingest migrate forbids,"
            " up to PostgreSQL 14 after ALTER SCHEMA public OWNER TO pg_database_owner": self.makes_tables,
        }
        return next((words for words, holds in reasons.items() if holds), None)

    def lack(self, setting: Setting) -> str | None:
        """What it cannot do, and should."""
        if setting == "DATABASE_URL":
            return None if self.may_write else "may not write pings and look-ups"
        return None if self.may_read else "may not read"


class Privileges:
    """Admits connections."""

    def __init__(self, *, is_strict: bool) -> None:
        self._is_strict = is_strict
        self._admitted: set[Setting] = set()
        self._problem = ""
        self.refused = asyncio.Event()

    def admit(self, setting: Setting) -> Callable[[db.Connection], Awaitable[None]]:
        """For each new connection of a setting: NotAdmittedError when it must not be used."""

        async def admit(connection: db.Connection) -> None:
            if setting not in self._admitted:
                (row,) = await connection.fetch(db.queries()["privileges"])
                self._judge(setting, Found(*row.values()))

        return admit

    def require(self) -> None:
        """SettingsError once a role was refused."""
        if self.refused.is_set():
            raise errors.SettingsError(self._problem)

    async def first_look(self, pools: Sequence[db.Pool]) -> None:
        """Looks at the role of each pool, wherever a server answers soon; SettingsError."""
        looks = [asyncio.create_task(_open(pool)) for pool in pools]
        _, pending = await asyncio.wait(looks, timeout=_PATIENCE_SECONDS)
        for one in pending:
            one.cancel()
        await asyncio.gather(*looks, return_exceptions=True)
        self.require()

    def _judge(self, setting: Setting, found: Found) -> None:
        excess, lack = found.excess(), found.lack(setting)
        if excess is None and lack is not None and (found.in_recovery or not found.has_schema):
            log.debug("a role is not granted what it needs yet", extra={"setting": setting})
            raise NotAdmittedError("not granted yet")
        if excess is not None or lack is not None:
            step = _NEXT[setting] if excess else f"run: geoingest migrate; or {_NEXT[setting]}"
            roles = config.sql_folder() / "roles.sql"
            problem = (
                f"{setting}: the role {found.role_name} {excess or lack};"
                f" {step}, which a superuser makes with: psql -f {roles}"
            )
            if self._is_strict:
                self._problem = problem
                self.refused.set()
                raise NotAdmittedError("refused")
            log.warning("%s", problem)
        self._admitted.add(setting)


async def _open(pool: db.Pool) -> None:
    with contextlib.suppress(*db.DRIVER_ERRORS):
        async with pool.acquire(timeout=db.CONNECT_SECONDS):
            return
