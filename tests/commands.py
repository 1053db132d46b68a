"""`geoingest` commands run in this process: what they print where, and how they exit."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator, Mapping

import click
import click.testing

from geoingest import cli
from tests import conftest, processes

# No data folder of this machine, with a running database or not, is any business of the tests.
NOWHERE = "/nonexistent/geoingest"


def run(
    *arguments: str,
    database: conftest.Database | None = None,
    environment: Mapping[str, str] | None = None,
    stdin: str | None = None,
) -> click.testing.Result:
    """Runs one command to its end; an exception that it does not answer itself is the test's."""
    urls = {} if database is None else processes.urls(database)
    cleared = dict.fromkeys(set(os.environ) - set(processes.plain_environment()))
    with _same_logging_as_before():
        return click.testing.CliRunner().invoke(
            cli.main,
            arguments,
            stdin,
            env={**cleared, "GEOINGEST_DATA_DIR": NOWHERE, **urls, **(environment or {})},
            catch_exceptions=False,
        )


@contextlib.contextmanager
def _same_logging_as_before() -> Iterator[None]:
    """Each command sends the log to its own stderr, which is closed when it ends."""
    root, yoyo = logging.getLogger(), logging.getLogger("yoyo")
    before = root.handlers[:], root.level, yoyo.level
    try:
        yield
    finally:
        root.handlers[:], level, yoyo_level = before
        root.setLevel(level)
        yoyo.setLevel(yoyo_level)


def leaves(group: click.Group, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], click.Command]:
    """Every command that does something, by the words that lead to it."""
    found: dict[tuple[str, ...], click.Command] = {}
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            found |= leaves(command, (*path, name))
        if not isinstance(command, click.Group) or command.invoke_without_command:
            found[*path, name] = command
    return found


ALL = leaves(cli.main)
