"""What several commands take, and how each shows its example."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any, TypeVar

import click

from geoingest.local import child

F = TypeVar("F", bound=Callable[..., Any])
FILE = click.Path(path_type=pathlib.Path, exists=True, dir_okay=False)


def example(text: str) -> dict[str, Any]:
    """The end of a command's --help."""
    return {"epilog": f"\b\nExample:\n  {text}"}


def leash(command: F) -> F:
    """The hidden option of those that `geoingest up` starts."""
    return click.option(child.LEASH, is_flag=True, hidden=True)(command)
