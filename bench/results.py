"""bench/results.json: each measurement's last numbers, with the machine, the commit and the command that made them."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import pathlib
import platform
import re
import subprocess
from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

from geoingest.local import memory

PATH = pathlib.Path(__file__).parent / "results.json"
_ROOT = pathlib.Path(__file__).parent.parent
_PREFIX = "GEOINGEST_"
_PACKAGES = ("aiohttp", "asyncpg", "msgspec", "orjson", "psycopg", "fastapi", "uvicorn")
# Told beside the numbers, not among them.
_ABOUT_THE_RUN = ("valid", "postgresql")
# Taken before we add to it: what else the machine was doing.
_LOAD_BEFORE = round(os.getloadavg()[0], 2)


class Result(NamedTuple):
    """One measurement; not `valid` when the numbers are not to be believed."""

    command: str
    date: str
    commit: str
    valid: bool
    host: dict[str, Any]
    versions: dict[str, str]
    values: dict[str, Any]


def command(name: str, plan: tuple[object, ...]) -> str:
    """The command line that measures this again: option names are the plan's field names."""
    fields = plan._asdict()  # type: ignore[attr-defined]  # every plan is a NamedTuple
    options = (_option(key, value) for key, value in fields.items())
    settings = (f"{key}={value} " for key, value in sorted(_settings().items()))
    return f"{''.join(settings)}python -m bench {' '.join((name, *filter(None, options)))}"


def save(key: str, command_line: str, values: Mapping[str, Any]) -> None:
    """Puts one measurement into the file; the others stay as they are."""
    host, versions = machine()
    numbers = {name: value for name, value in values.items() if name not in _ABOUT_THE_RUN}
    versions["postgresql"] = str(values["postgresql"]).removeprefix("postgres (PostgreSQL) ")
    result = Result(
        command_line,
        f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M UTC}",
        commit(),
        bool(values["valid"]),
        host,
        versions,
        numbers,
    )
    found = {**load(), key: result}
    text = orjson.dumps(
        {name: one._asdict() for name, one in found.items()},
        option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS,
    )
    PATH.write_bytes(text + b"\n")


def load() -> dict[str, Result]:
    """All that was ever measured and kept."""
    if not PATH.is_file():
        return {}
    return {key: Result(**one) for key, one in orjson.loads(PATH.read_bytes()).items()}


def machine() -> tuple[dict[str, Any], dict[str, str]]:
    """What the numbers depend on besides the code: the host, and the versions of what runs on it."""
    host = {
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "cpu": _cpu_model(),
        "memory_gib": round(memory.available() / 2**30, 1),
        "kernel": f"{platform.system()} {platform.release()}",
        "load_before": _LOAD_BEFORE,
    }
    versions = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return host, versions


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


def _option(key: str, value: object) -> str:
    name = f"--{key.replace('_', '-')}"
    if isinstance(value, bool):
        return name if value else ""
    return f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"
