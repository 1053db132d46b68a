"""What a process has used of the machine, as the kernel counts it; None where it does not tell."""

from __future__ import annotations

import os
import pathlib
import re
from typing import NamedTuple

_MOST_LOOKS = 5


class _Stat(NamedTuple):
    parent: int
    # Its own, and of its children that ended and were waited for.
    ticks: int


def cpu_seconds(pid: int | None) -> float | None:
    """User and system time so far of the process and all below it, those that ended included."""
    tree = {} if pid is None else _tree(pid)
    for _ in range(_MOST_LOOKS):
        before, tree = tree, {} if pid is None else _tree(pid)
        # One that ended between two looks may be counted neither as itself nor by its parent.
        if before.keys() == tree.keys():
            break
    return sum(tree.values()) / os.sysconf("SC_CLK_TCK") if tree else None


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


def _tree(pid: int) -> dict[int, int]:
    """Ticks of each; empty where there is no such process, or no /proc."""
    stats = _stats()
    found, tree = {pid} & stats.keys(), dict[int, int]()
    while found:
        tree |= {one: stats[one].ticks for one in found}
        found = {one for one, stat in stats.items() if stat.parent in found}
    return tree


def _stats() -> dict[int, _Stat]:
    """Every process of the machine."""
    found = {}
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        found[int(path.parent.name)] = _Stat(int(fields[1]), sum(map(int, fields[11:15])))
    return found
