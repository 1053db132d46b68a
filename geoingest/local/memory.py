"""sql/postgresql.conf, with its memory lines scaled to the machine."""

from __future__ import annotations

import os
import pathlib
import re
from typing import NamedTuple

from geoingest import config

# Two servers with 2 GB of shared buffers each, and as much again for everything else.
NEEDED_BYTES = 8 * 2**30
_SCALED = (
    "shared_buffers",
    "effective_cache_size",
    "work_mem",
    "maintenance_work_mem",
    "wal_buffers",
)
_LEAST_MB = {"shared_buffers": 32, "work_mem": 1, "maintenance_work_mem": 16, "wal_buffers": 1}
_UNITS_MB = {"MB": 1, "GB": 1024}
_CGROUP = pathlib.Path("/sys/fs/cgroup/memory.max")


class Settings(NamedTuple):
    """The settings by name, and what to tell the operator when they were scaled."""

    values: dict[str, str]
    note: str | None


def settings(available_bytes: int) -> Settings:
    """The operator's list, smaller where the machine has less memory than it needs."""
    values = read()
    if available_bytes >= NEEDED_BYTES:
        return Settings(values, None)
    share = available_bytes / NEEDED_BYTES
    for name in _SCALED:
        values[name] = _scale(values[name], share, _LEAST_MB.get(name, 1))
    return Settings(
        values,
        f"{available_bytes / 2**30:.1f} GiB of memory, {NEEDED_BYTES / 2**30:.0f} wanted:"
        f" PostgreSQL's memory settings are scaled to {share:.0%}"
        f" (shared_buffers = {values['shared_buffers']})",
    )


def read() -> dict[str, str]:
    """The lines of sql/postgresql.conf."""
    found = re.findall(
        r"^(\w+) = (.+)$", (config.sql_folder() / "postgresql.conf").read_text(), re.MULTILINE
    )
    return {name: value.strip("'") for name, value in found}


def available() -> int:
    """Bytes of memory this process may use: the machine's, or its container's if that is less."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        limit = _CGROUP.read_text().strip()
    except OSError:
        return machine
    return min(machine, int(limit)) if limit.isdigit() else machine


def _scale(value: str, share: float, least_mb: int) -> str:
    number, unit = int(value[:-2]), value[-2:]
    return f"{max(least_mb, int(number * _UNITS_MB[unit] * share))}MB"
