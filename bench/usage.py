"""What a process has used of the machine, as the kernel counts it; None where it does not tell."""

from __future__ import annotations

import os
import pathlib
import re
from typing import NamedTuple


class _Stat(NamedTuple):
    parent: int
    # Its own, and of its children that ended and were waited for.
    ticks: int


def cpu_seconds(pid: int | None) -> float | None:
    """User and system time so far of the process and all below it, those that ended included."""
    stats = {} if pid is None else _stats()
    if pid not in stats:
        return None
    ticks, found = 0, {pid}
    while found:
        ticks += sum(stats[one].ticks for one in found)
        found = {one for one, stat in stats.items() if stat.parent in found}
    return ticks / os.sysconf("SC_CLK_TCK")


def peak_rss_mib(pid: int) -> float | None:
    """The most memory the process has held at once."""
    try:
        text = pathlib.Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    found = re.search(r"^VmHWM:\s+(\d+) kB$", text, re.MULTILINE)
    return None if found is None else round(int(found[1]) / 1024, 1)


def since(before: float | None, after: float | None) -> float | None:
    """The difference of two readings."""
    return None if before is None or after is None else after - before


def _stats() -> dict[int, _Stat]:
    """Every process of the machine; empty where there is no /proc."""
    found = {}
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        found[int(path.parent.name)] = _Stat(int(fields[1]), sum(map(int, fields[11:15])))
    return found
