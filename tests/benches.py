"""`python -m bench` as a process: its exit code, its numbers, its words."""

from __future__ import annotations

import subprocess
import sys
from typing import Any, NamedTuple

import orjson

from tests import processes

_PATIENCE_SECONDS = 180.0


class Run(NamedTuple):
    """One that has ended by itself."""

    exit_code: int
    values: dict[str, Any]
    words: str


def run(*arguments: str) -> Run:
    """Runs one to its end; one that does not end is told to, so that it stops what it started."""
    with subprocess.Popen(
        [sys.executable, "-m", "bench", *arguments],
        cwd=processes.ROOT,
        env=processes.plain_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            numbers, words = process.communicate(timeout=_PATIENCE_SECONDS)
        except BaseException:
            process.terminate()
            raise
    assert numbers, words
    return Run(process.returncode, orjson.loads(numbers.splitlines()[-1]), words)
