"""The CSV of provisioned students: the only place where tokens are written down."""

from __future__ import annotations

import csv
import os
import pathlib
from collections.abc import Sequence
from typing import TextIO

from geoingest import errors
from geoingest.access import provision

HEADER = provision.Enrolled._fields


def write(file: TextIO, enrolled: Sequence[provision.Enrolled]) -> None:
    """A header and a line for each student."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(HEADER)
    writer.writerows(enrolled)


def read(path: pathlib.Path) -> list[provision.Enrolled]:
    """The lines of a file; LocalError when it is not one of ours."""
    try:
        with path.open(newline="") as file:
            return [_enrolled(row) for row in csv.DictReader(file, restval="")]
    except (OSError, KeyError, ValueError, csv.Error) as exc:
        raise errors.LocalError(
            f"{path} is not a CSV with {','.join(HEADER)}, as `geoingest provision --csv` writes it"
        ) from exc


def create(path: pathlib.Path) -> TextIO:
    """Opens a new file that only we can read; LocalError when there is one with content."""
    try:
        if path.exists() and path.stat().st_size:
            raise errors.LocalError(f"{path} exists and is kept; name another file")
        path.unlink(missing_ok=True)
        return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w")
    except OSError as exc:
        raise errors.LocalError(f"cannot write {path}: {exc.strerror}") from exc


def _enrolled(row: dict[str, str]) -> provision.Enrolled:
    if not all(row[name] for name in HEADER):
        raise ValueError("a line is cut short")
    return provision.Enrolled(
        int(row["student_id"]), int(row["device_id"]), row["device_token"], row["viewer_token"]
    )
