"""What a process has used of the machine, as the kernel counts it; None where it does not tell."""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
from collections.abc import Iterable

_MOST_LOOKS = 5


def cpu_seconds(pid: int | None) -> float | None:
    """User and system time so far of the process and all below it, those that ended included."""
    if pid is None:
        return None
    ticks = _all_ticks(pid)
    for _ in range(_MOST_LOOKS):
        before, ticks = ticks, _all_ticks(pid)
        # One that ended between two looks may be counted neither as itself nor by its parent.
        if before.keys() == ticks.keys():
            break
    return sum(ticks.values()) / os.sysconf("SC_CLK_TCK") if ticks else None


def peak_rss_mib(pid: int) -> float | None:
    """The most memory that the process, and each it serves with, has held at once, added up."""
    return _sum(_memory_mib(one, "VmHWM") for one in _family(pid))


def forget_peak_rss(pid: int) -> None:
    """The peak counts from now on; where the kernel does not let us, from the start."""
    for one in _family(pid):
        with contextlib.suppress(OSError):
            pathlib.Path(f"/proc/{one}/clear_refs").write_text("5")


def rss_mib(pid: int) -> float | None:
    """The memory they hold now."""
    return _sum(_memory_mib(one, "VmRSS") for one in _family(pid))


def open_files(pid: int) -> float | None:
    """File descriptors they hold now."""
    return _sum(_open_files(one) for one in _family(pid))


def connects_dropped(pid: int) -> float | None:
    """Connections that found a full backlog, in the process's network namespace, so far."""
    try:
        lines = pathlib.Path(f"/proc/{pid}/net/netstat").read_text().splitlines()
    except OSError:
        return None
    names, values = (line.split() for line in lines if line.startswith("TcpExt:"))
    counters = dict(zip(names, values, strict=True))
    return float(counters["ListenOverflows"]) + float(counters["ListenDrops"])


def since(before: float | None, after: float | None) -> float | None:
    """The difference of two readings."""
    return None if before is None or after is None else round(after - before, 6)


def _family(pid: int) -> list[int]:
    """The process and all below it."""
    children: list[str] = []
    with contextlib.suppress(OSError):
        for path in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
            children += path.read_text().split()
    return [pid, *(one for child in children for one in _family(int(child)))]


def _all_ticks(pid: int) -> dict[int, int]:
    """Of each of the family its own, and those of its children that ended and were waited for."""
    found = {}
    for one in _family(pid):
        with contextlib.suppress(OSError):
            stat = pathlib.Path(f"/proc/{one}/stat").read_text()
            # Behind the name, which may hold spaces: utime, stime, cutime, cstime.
            found[one] = sum(map(int, stat.rpartition(")")[2].split()[11:15]))
    return found


def _memory_mib(pid: int, name: str) -> float | None:
    try:
        text = pathlib.Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    found = re.search(rf"^{name}:\s+(\d+) kB$", text, re.MULTILINE)
    return None if found is None else int(found[1]) / 1024


def _open_files(pid: int) -> float | None:
    try:
        return sum(1.0 for _ in pathlib.Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return None


def _sum(parts: Iterable[float | None]) -> float | None:
    known = [one for one in parts if one is not None]
    return round(sum(known), 1) if known else None
