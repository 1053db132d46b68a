"""The fastest a table takes rows in: psql's \\copy of a prepared binary file."""

from __future__ import annotations

import datetime
import os
import pathlib
import random
import re
import subprocess
from typing import NamedTuple

import click
import psycopg.conninfo

from bench import bodies, world
from geoingest import ping
from geoingest.ingest import rows

# Far above every provisioned number: these students' rows meet no others.
_FIRST_STUDENT = 1_000_000_000
_LIBPQ = {
    "host": "PGHOST",
    "port": "PGPORT",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "dbname": "PGDATABASE",
}


class File(NamedTuple):
    """A prepared file."""

    path: pathlib.Path
    rows: int


def prepare(on: world.World, *, students: int, start_ms: int, series: int) -> File:
    """One backlog of each student, in the order in which the batched bodies bring them."""
    chooser = random.Random(series)
    first = _FIRST_STUDENT + series * students
    received_us = ping.instant_us(datetime.datetime.now(datetime.UTC))
    encoded: list[rows.Row] = []
    for student in range(first, first + students):
        for unix_ms in bodies.backlog_ms(start_ms, 0):
            latitude, longitude, accuracy, speed, course, battery = bodies.reading(chooser)
            at_us = unix_ms * 1000 - ping.EPOCH_UNIX_US
            one = ping.Ping(
                student, at_us, 1, latitude, longitude, accuracy, None, speed, course, battery,
                None, received_us,
            )  # fmt: skip
            encoded.append(rows.encode(one))
    path = on.folder / "pings.copy"
    path.write_bytes(rows.copy_bytes(encoded))
    return File(path, len(encoded))


def rows_per_second(on: world.World, file: File) -> float:
    """Copies the file; psql's own \\timing leaves out its start and its log-in."""
    columns = '"' + '", "'.join(rows.COLUMNS) + '"'
    command = f"\\copy geolocation_data ({columns}) FROM '{file.path}' WITH (FORMAT binary)"
    address = psycopg.conninfo.conninfo_to_dict(on.url)
    environment = {
        **os.environ,
        **{_LIBPQ[name]: str(value) for name, value in address.items()},
        "PGOPTIONS": "-c statement_timeout=0",
        # Its answer is read here.
        "LC_ALL": "C",
    }
    done = subprocess.run(
        [on.psql, "--no-psqlrc", "--set=ON_ERROR_STOP=1", "-c", "\\timing on", "-c", command],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.search(r"^Time: ([0-9.]+) ms", done.stdout, re.MULTILINE)
    if done.returncode or found is None or f"COPY {file.rows}" not in done.stdout:
        raise click.ClickException(f"psql: {(done.stderr or done.stdout).strip()}")
    return file.rows / float(found[1]) * 1e3
