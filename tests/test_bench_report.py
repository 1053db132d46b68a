"""What the benches tell: refusals that are spread, numbers that say whether they were run, words for each command."""

from __future__ import annotations

import pathlib
import shlex
import socket

import click.testing
import pytest

from bench import __main__ as command
from bench import comebacks, report, results, suite
from tests import commands

_ROOT = pathlib.Path(__file__).parent.parent
_COMMANDS = commands.leaves(command.main)


def _result(values: dict[str, object], *, valid: bool = True) -> results.Result:
    host = {"cores": 2, "cpu": "a CPU", "memory_gib": 4.0, "kernel": "Linux 6", "load_before": 0.1}
    versions = {"python": "3.11.7", "postgresql": "18.4"}
    return results.Result("python -m bench it", "today", "abc", valid, host, versions, values)


def _row(page: str, words: str) -> list[str]:
    """What the section about storms says of one number: measured, target, aim."""
    _, _, section = page.partition("## storm\n")
    (line,) = (one for one in section.split("##")[0].splitlines() if words in one)
    return line.strip("| ").split(" | ")[1:]


def test_what_was_not_run_is_told() -> None:
    """Every section is on the page, and a promise without a number says so."""
    page = report.page({})

    for section in report.SECTIONS:
        assert f"## {section.key}\n" in page
    assert _row(page, "the slowest answer, ms") == ["not run", "< 3000"]


def test_a_promise_that_was_missed_stands_out() -> None:
    """Met and missed are told beside the limit, and an invalid run is named."""
    values: dict[str, object] = {"connect_slowest_ms": 3100.0, "connect_errors": 0}

    page = report.page({"storm": _result(values, valid=False)})

    assert _row(page, "the slowest answer, ms") == ["3,100", "< 3000: **missed**"]
    assert _row(page, "connects that found the backlog full") == ["not measured", "= 0"]
    assert "| errors meanwhile | 0 | = 0: met |" in page
    assert "**This run is not valid.**" in page


def test_every_measurement_has_its_section() -> None:
    """What `all` measures is on the page."""
    sections = {one.key for one in report.SECTIONS}

    assert {one.key for one in suite.ALL} == sections


@pytest.mark.skipif(not results.PATH.is_file(), reason="nothing was measured and kept yet")
def test_the_page_is_that_of_the_results() -> None:
    """bench/README.md and bench/results.json are of the same measurements, without traces of a machine."""
    text = results.PATH.read_text()

    assert (_ROOT / "bench" / "README.md").read_text() == report.page(results.load())
    for private in (str(_ROOT), str(pathlib.Path.home()), socket.gethostname()):
        assert private not in text


@pytest.mark.parametrize("path", _COMMANDS, ids=" ".join)
def test_help_has_an_example_that_works(path: tuple[str, ...]) -> None:
    """--help ends in an example whose options this very command takes."""
    shown = click.testing.CliRunner().invoke(command.main, [*path, "--help"])

    assert shown.exit_code == 0, shown.stderr
    _, found, example = shown.stdout.partition("Example:\n")
    assert found
    words = shlex.split(example)
    assert words[:4] == ["python", "-m", "bench", *path]
    _COMMANDS[path].make_context(path[-1], words[4:])


def test_a_plan_is_told_as_the_command_that_measures_it_again() -> None:
    """Also its switches: there when they are on."""
    for one in suite.ALL:
        words = shlex.split(results.command(one.command, one.plan))
        options = {name for param in _COMMANDS[one.command,].params for name in param.opts}
        assert {word for word in words if word.startswith("--")} <= options
    busy = next(one for one in suite.ALL if one.variant == "busy")
    assert results.command("ingest", busy.plan).endswith("--reads 100 --jobs")


def test_one_wait_for_all_is_no_spread() -> None:
    """Five thousand that are told the same second all come back in it."""
    same = comebacks.Comebacks()
    for _ in range(5000):
        same.note(100.2, 5)

    assert same.fullest_to_mean == 5


def test_waits_of_one_to_ten_seconds_are_a_spread() -> None:
    """Also when two processes have seen a half each."""
    halves = comebacks.Comebacks(), comebacks.Comebacks()
    for number in range(5000):
        halves[number % 2].note(100.2, 1 + number % 10)
    halves[0].add(halves[1])

    assert halves[0].fullest_to_mean == 1
    assert comebacks.Comebacks().fullest_to_mean is None
