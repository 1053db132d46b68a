"""What a process has used of the machine, as the kernel counts it; None where it does not tell."""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
from collections.abc import Iterable


def cpu_seconds(pid: int) -> float | None:
    """User and system time of the process so far."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


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
    try:
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return [pid]
    return [pid, *(one for child in children for one in _family(int(child)))]


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
