"""A measurement's numbers, saved with the machine, the commit and the command that made them."""

from __future__ import annotations

import datetime
import os
import pathlib
import platform
import re
import subprocess
from typing import Any, NamedTuple

import orjson

from geoingest.local import memory

FOLDER = pathlib.Path(__file__).parent / "results"
_ROOT = pathlib.Path(__file__).parent.parent
_PREFIX = "GEOINGEST_"
# Taken before we add to it: what else the machine was doing.
_LOAD_BEFORE = round(os.getloadavg()[0], 2)


class Result(NamedTuple):
    """One saved file of bench/results."""

    name: str
    command: str
    date: str
    commit: str
    machine: dict[str, Any]
    values: dict[str, Any]


def command(name: str, plan: tuple[object, ...]) -> str:
    """The command line that measures this again: option names are the plan's field names."""
    fields = plan._asdict()  # type: ignore[attr-defined]  # every plan is a NamedTuple
    options = (f"--{key.replace('_', '-')} {_plain(value)}" for key, value in fields.items())
    settings = (f"{key}={value} " for key, value in sorted(_settings().items()))
    return f"{''.join(settings)}python -m bench {name} {' '.join(options)}"


def save(name: str, plan: tuple[object, ...], values: dict[str, object]) -> Result:
    """Writes bench/results/NAME.json."""
    result = Result(
        name,
        command(name, plan),
        f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M UTC}",
        commit(),
        machine(),
        values,
    )
    FOLDER.mkdir(exist_ok=True)
    text = orjson.dumps(result._asdict(), option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS)
    (FOLDER / f"{name}.json").write_bytes(text + b"\n")
    return result


def load(name: str) -> Result | None:
    """The saved result; None when it was never measured here."""
    path = FOLDER / f"{name}.json"
    return Result(**orjson.loads(path.read_bytes())) if path.is_file() else None


def machine() -> dict[str, Any]:
    """What the numbers depend on besides the code."""
    return {
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "cpu": _cpu_model(),
        "memory_gib": round(memory.available() / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load_before": _LOAD_BEFORE,
    }


def commit() -> str:
    """The short hash, and whether anything but bench/ differs from it."""
    found = _git("rev-parse", "--short", "HEAD")
    changed = _git("status", "--porcelain", "--", "geoingest", "sql")
    return (found or "unknown") + (" with local changes" if changed else "")


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=_ROOT, capture_output=True, text=True, check=False
        )
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _cpu_model() -> str:
    try:
        text = pathlib.Path("/proc/cpuinfo").read_text()
    except OSError:
        text = ""
    found = re.search(r"^model name\s*: (.+)$", text, re.MULTILINE)
    return found[1].strip() if found else platform.processor() or platform.machine()


def _settings() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key.startswith(_PREFIX)}


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
