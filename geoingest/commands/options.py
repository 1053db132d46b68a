"""What several commands take, and how each shows its example."""

from __future__ import annotations

import contextlib
import datetime
import pathlib
import re
import urllib.parse
from collections.abc import Callable
from typing import Any, TypeVar

import click
import msgspec
from typing_extensions import override

from geoingest.access import directory_line
from geoingest.local import child

F = TypeVar("F", bound=Callable[..., Any])
STUDENT = click.IntRange(1, 2**63 - 1)
FILE = click.Path(path_type=pathlib.Path, exists=True, dir_okay=False)
_DAY_LETTERS = len("2026-11-22")
_LONGEST = datetime.timedelta(days=365)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class Instant(click.ParamType[datetime.datetime]):
    """A day in UTC, or an instant of RFC 3339 with its offset."""

    name = "DAY|INSTANT"

    @override
    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime.datetime:  # click's own signature
        text = f"{value}T00:00:00Z" if len(value) == _DAY_LETTERS else value
        instant = None
        with contextlib.suppress(ValueError, OverflowError):
            found = datetime.datetime.fromisoformat(text)
            instant = found.astimezone(datetime.UTC) if found.tzinfo else None
        if instant is None:
            self.fail(f"{value!r}: as 2026-11-22 or 2026-11-22T10:00:00Z", param, ctx)
        return instant


class Duration(click.ParamType[datetime.timedelta]):
    """A whole number of seconds, minutes, hours or days, up to a year."""

    name = "DURATION"

    @override
    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime.timedelta:  # click's own signature
        if isinstance(value, datetime.timedelta):
            return value
        found = re.fullmatch(r"([0-9]{1,9})([smhd])", value)
        duration = datetime.timedelta(**{_UNITS[found[2]]: int(found[1])}) if found else None
        if duration is None or duration > _LONGEST:
            self.fail(f"{value!r}: as 90s, 30m, 12h or 7d, at most 365d", param, ctx)
        return duration


class ExternalId(click.ParamType[str]):
    """An id of the school platform, as the directory takes it."""

    name = "ID"

    @override
    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:  # click's own signature
        try:
            return msgspec.convert(value, directory_line.Id)
        except msgspec.ValidationError:
            self.fail("at most 200 characters, no space around them", param, ctx)


class Address(click.ParamType[str]):
    """Where phones reach the service, without a slash at its end."""

    name = "URL"

    @override
    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:  # click's own signature
        host = ""
        with contextlib.suppress(ValueError):
            parts = urllib.parse.urlsplit(value)
            host = parts.netloc if parts.scheme in {"http", "https"} else ""
        if not host or set(value) & set("?# "):
            self.fail(f"{value!r}: as https://pings.example.org", param, ctx)
        return str(value).rstrip("/")


def example(text: str) -> dict[str, Any]:
    """The end of a command's --help."""
    return {"epilog": f"\b\nExample:\n  {text}"}


def leash(command: F) -> F:
    """The hidden option of those that `geoingest up` starts."""
    return click.option(child.LEASH, is_flag=True, hidden=True)(command)


def archive(command: F) -> F:
    """Where pings are written before they leave, for commands that remove some."""
    return click.option(
        "--archive",
        "archive_dir",
        metavar="DIR",
        help="Write each day as a Parquet file there before its pings leave;"
        " GEOINGEST_ARCHIVE_DIR without it.",
    )(command)


def archived(command: F) -> F:
    """Where pings that left lie, for commands that look for all of a student's."""
    return click.option(
        "--archive",
        "archive_dir",
        metavar="DIR",
        help="Where days are archived; GEOINGEST_ARCHIVE_DIR without it.",
    )(command)
