"""Every command explains itself, with an example that works."""

from __future__ import annotations

import shlex

import pytest

import geoingest
from tests import commands


def test_every_command_is_there() -> None:
    """The names that users rely on."""
    assert {" ".join(path) for path in commands.ALL} >= {
        *("up", "serve", "jobs", "migrate", "simulate", "provision"),
        *("device add", "device rotate", "device revoke"),
        *("viewer add", "viewer revoke", "school add", "student move", "directory load"),
        *("jobs run", "jobs status"),
        *("erase", "export"),
    }


@pytest.mark.parametrize("path", commands.ALL, ids=" ".join)
def test_help_has_an_example_that_works(path: tuple[str, ...]) -> None:
    """--help exits 0 and ends in an example whose options this very command takes."""
    result = commands.run(*path, "--help")

    assert (result.exit_code, result.stderr) == (0, "")
    _, found, example = result.stdout.partition("Example:\n")
    assert found
    words = [word for word in shlex.split(example) if "://" not in word]
    assert words[: len(path) + 1] == ["geoingest", *path]
    commands.ALL[path].make_context(path[-1], words[len(path) + 1 :])


def test_the_whole_and_the_groups_explain_themselves() -> None:
    """--help and -h work everywhere; --version says the version alone."""
    for arguments in (["--help"], ["-h"], ["device", "-h"], ["viewer", "--help"]):
        assert commands.run(*arguments).exit_code == 0
    assert "0 ok, 1 failed, 2 usage, 75 database away, 78 bad settings" in " ".join(
        commands.run("--help").stdout.split()
    )
    assert commands.run("--version").stdout == f"{geoingest.__version__}\n"
