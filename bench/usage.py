"""What a process has used of the machine, as the kernel counts it; None where it does not tell."""

from __future__ import annotations

import os
import pathlib
import re


def cpu_seconds(pid: int) -> float | None:
    """User and system time of the process so far."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


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
