"""Process trees as /proc shows them: who descends from whom, who is left, what it was called with."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Literal, NamedTuple


class Running(NamedTuple):
    """One process: the moment of its start tells it from a later one of the same number."""

    pid: int
    started: int


class _Stat(NamedTuple):
    parent: int
    state: str
    started: int


def tree(pid: int) -> set[Running]:
    """A process and all that descend from it, zombies left out."""
    stats = {one: stat for one in pids() if (stat := _stat(one)) is not None}
    found, members = {pid}, set[Running]()
    while found:
        members |= {
            Running(one, stats[one].started)
            for one in found
            if one in stats and stats[one].state != "Z"
        }
        found = {one for one, stat in stats.items() if stat.parent in found}
    return members


def left(members: Iterable[Running]) -> set[Running]:
    """Those that still run; a zombie does not."""
    return {
        one
        for one in members
        if (stat := _stat(one.pid)) and stat.started == one.started and stat.state != "Z"
    }


def send(members: Iterable[Running], number: signal.Signals) -> None:
    """A signal to those that still run."""
    for one in left(members):
        with contextlib.suppress(ProcessLookupError):
            os.kill(one.pid, number)


@contextlib.contextmanager
def standing_still(members: Iterable[Running]) -> Iterator[Callable[[], None]]:
    """They hang: stopped until the block calls what it is given, or ends."""
    stopped = list(members)

    def go_on() -> None:
        send(stopped, signal.SIGCONT)

    send(stopped, signal.SIGSTOP)
    try:
        yield go_on
    finally:
        go_on()


def command_lines() -> dict[int, str]:
    """What every process of the machine was called with, for those that may be read."""
    found = {}
    for pid in pids():
        try:
            raw = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        found[pid] = raw.replace(b"\0", b" ").decode(errors="replace").strip()
    return found


@contextlib.contextmanager
def watched() -> Iterator[set[str]]:
    """Every command line that is there at some moment of the block, short-lived ones too."""
    seen: set[str] = set()
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.005):
            seen.update(command_lines().values())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield seen
    finally:
        done.set()
        watcher.join()


def sockets(pid: int) -> set[str]:
    """The inodes of a process's open sockets."""
    found = set()
    for descriptor in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            kind, _, inode = str(descriptor.readlink()).partition(":")
            if kind == "socket":
                found.add(inode.strip("[]"))
    return found


def listening(kind: Literal["tcp", "tcp6", "unix"]) -> set[str]:
    """The inodes of the sockets that wait for callers."""
    lines = pathlib.Path(f"/proc/net/{kind}").read_text().splitlines()[1:]
    rows = [line.split() for line in lines]
    if kind == "unix":
        # Flags 00010000: it accepts connections.
        return {row[6] for row in rows if row[3] == "00010000"}
    # State 0A: LISTEN.
    return {row[9] for row in rows if row[3] == "0A"}


def pids() -> list[int]:
    """Every process of the machine."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208  # not a tree


def _stat(pid: int) -> _Stat | None:
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # After the name, which may hold spaces: state, parent, then 17 more up to the start.
    fields = text.rpartition(")")[2].split()
    return _Stat(int(fields[1]), fields[0], int(fields[19]))
