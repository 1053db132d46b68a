"""Connections of a job whose server process is killed before one of its statements."""

from __future__ import annotations

import itertools
from typing import Any

import psycopg
from typing_extensions import override

from tests import conftest


def terminate(database: conftest.Database, pid: int) -> None:
    """Ends a backend, and waits until it has."""
    assert database.administer("SELECT pg_terminate_backend($1, 5000)", pid) == [(True,)]


def dies_at(number: int, database: conftest.Database) -> type[psycopg.RawCursor[Any]]:
    """Cursors of a connection whose backend is killed before its statement of this number."""
    statements = itertools.count()

    class Cursor(psycopg.RawCursor[Any]):
        @override
        def execute(self, *arguments: Any, **options: Any) -> Any:  # the driver's own signature
            if next(statements) == number:
                terminate(database, self.connection.info.backend_pid)
            return super().execute(*arguments, **options)

    return Cursor
