"""A whole school district is enrolled by the real command, tokens into a CSV."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import NamedTuple

import click

from bench import world


class Plan(NamedTuple):
    """The options."""

    students: int = 100_000


class Enrolled(NamedTuple):
    """How long it took, and for how many there are tokens."""

    seconds: float
    csv_lines: int


def run(plan: Plan) -> dict[str, object]:
    """Seconds from the command's start to its end."""
    with world.databases(with_replica=False) as on:
        enrolled = enrol(on, plan.students)
    return {
        "seconds": enrolled.seconds,
        "csv_lines": enrolled.csv_lines,
        "valid": enrolled.csv_lines == plan.students,
        "postgresql": on.servers.version,
    }


def enrol(on: world.World, students: int) -> Enrolled:
    """Runs the command."""
    path = on.folder / "students.csv"
    click.echo(f"enrolling {students} students", err=True)
    started = time.perf_counter()
    subprocess.run(
        [
            *(sys.executable, "-m", "geoingest", "provision"),
            *("--students", str(students)),
            *("--csv", str(path)),
        ],
        env={**os.environ, "DATABASE_URL": on.url},
        check=True,
    )
    seconds = time.perf_counter() - started
    with path.open() as file:
        lines = sum(1 for _ in file) - 1
    return Enrolled(round(seconds, 2), lines)
