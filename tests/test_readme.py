"""README.md says what is so: the settings, the metrics, the commands."""

from __future__ import annotations

import dataclasses
import pathlib
import re
import shlex
from collections.abc import Iterator

from prometheus_client.metrics import MetricWrapperBase

from geoingest import config, metrics
from tests import commands

README = (pathlib.Path(__file__).parent.parent / "README.md").read_text()
HEADER = "| setting | default | meaning |"
FIELDS = dataclasses.fields(config.Config)


def _rows() -> list[tuple[str, str, str]]:
    """The settings table, row by row, without backticks around a cell."""
    _, found, below = README.partition(HEADER)
    assert found, f"README.md has a table with the header {HEADER}"
    rows: list[tuple[str, str, str]] = []
    for line in below.splitlines()[2:]:
        if not line.startswith("|"):
            break
        setting, default, meaning = (cell.strip() for cell in line.strip("|").split("|"))
        assert setting == f"`{setting.strip('`')}`"
        rows.append((setting.strip("`"), default.strip("`"), meaning))
    return rows


def test_every_setting_has_its_row_in_order() -> None:
    """The names and what they mean are those of Config, one row for each field."""
    assert [(name, meaning) for name, _, meaning in _rows()] == [
        (field.metadata["env"], field.metadata["words"]) for field in FIELDS
    ]


def test_every_default_is_the_one_in_force() -> None:
    """What the table shows is what the program runs with, and could be set by hand."""
    fields = {field.metadata["env"]: field for field in FIELDS}
    for name, default, _ in _rows():
        shown = config.load({name: default})
        assert getattr(shown, fields[name].name) == fields[name].default
        assert default == str(fields[name].default)


def _samples() -> Iterator[str]:
    """Every name that /metrics shows of ours."""
    for one in vars(metrics).values():
        if isinstance(one, MetricWrapperBase):
            for family in one.describe():
                yield family.name
                suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}
                yield from (family.name + end for end in suffixes.get(family.type, []))


def test_every_metric_it_names_exists() -> None:
    """A query copied from the page finds something."""
    named = set(re.findall(r"\bgeoingest_[a-z_]+[a-z]\b", README))

    # What sql/roles.sql makes is called alike.
    roles = {f"geoingest_{role}" for role in ("owner", "jobs", "ingest", "read")}
    assert named - roles
    assert named - roles - set(_samples()) == set()


def test_every_setting_it_names_exists() -> None:
    """Also outside of the table."""
    named = set(re.findall(r"\b(?:GEOINGEST|DATABASE)_[A-Z_]+\b", README))

    assert named <= {field.metadata["env"] for field in FIELDS}


def test_every_command_it_shows_exists() -> None:
    """A line copied from the page is understood, options and all."""
    shown = re.findall(r"(?:\$ (?:\w+=\S+ )*|`)geoingest ((?:[^`\n&#|>]|\\\n)+)", README)

    assert shown
    for line in shown:
        words = shlex.split(line.replace("\\\n", " "))
        path = next(path for path in commands.ALL if tuple(words[: len(path)]) == path)
        options = {name for one in commands.ALL[path].params for name in one.opts}
        used = {word.partition("=")[0] for word in words if word.startswith("-")}
        assert used <= options, line
