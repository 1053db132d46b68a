"""The ledger of erasures: a line is on the disk once it is added, and is never changed."""

from __future__ import annotations

import datetime
import os
import pathlib
import stat

import pytest

from geoingest import errors
from geoingest.lifecycle import ledger

_AT = datetime.datetime(2026, 11, 22, 10, 0, 0, 123456, tzinfo=datetime.UTC)
_FIRST = ledger.Entry(17, (17, 3551), _AT)
_SECOND = ledger.Entry(2**63 - 1, (), _AT + datetime.timedelta(days=1))


def test_what_is_added_is_read_back(tmp_path: pathlib.Path) -> None:
    """In its order, once each, however often it is added; the folder is made."""
    path = tmp_path / "kept" / "erasures.jsonl"

    for entry in (_FIRST, _SECOND, _FIRST):
        ledger.append(path, entry)

    assert ledger.read(path) == ([_FIRST, _SECOND], [])
    assert path.read_text().splitlines()[0] == (
        '{"student_id":17,"device_ids":[17,3551],"erased_at":"2026-11-22T10:00:00.123456Z"}'
    )


def test_no_file_is_an_empty_ledger(tmp_path: pathlib.Path) -> None:
    """Nobody was erased yet."""
    assert ledger.read(tmp_path / "erasures.jsonl") == ([], [])


@pytest.mark.parametrize("umask", [0o000, 0o022])
def test_only_its_owner_can_read_it(tmp_path: pathlib.Path, umask: int) -> None:
    """Mode 0600 from the first moment."""
    path = tmp_path / "erasures.jsonl"
    before = os.umask(umask)
    try:
        ledger.check(path)
    finally:
        os.umask(before)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"nonsense",
        b"\xff",
        b'{"student_id":17}',
        b'{"student_id":17,"device_ids":[1],"erased_at":"2026-11-22T10:00:00"}',
    ],
)
def test_a_line_that_is_none_of_ours_is_counted(tmp_path: pathlib.Path, line: bytes) -> None:
    """And harms no other."""
    path = tmp_path / "erasures.jsonl"
    ledger.append(path, _FIRST)
    with path.open("ab") as file:
        file.write(line + b"\n")
    ledger.append(path, _SECOND)

    assert ledger.read(path) == ([_FIRST, _SECOND], [2])


def test_a_line_that_was_cut_short_stays_one_of_its_own(tmp_path: pathlib.Path) -> None:
    """A crash in the middle of a line spoils no later one."""
    path = tmp_path / "erasures.jsonl"
    ledger.append(path, _FIRST)
    held = path.read_bytes()
    path.write_bytes(held + held[:20])

    ledger.append(path, _SECOND)

    assert path.read_bytes().startswith(held + held[:20])
    assert ledger.read(path) == ([_FIRST, _SECOND], [2])


def test_a_ledger_that_takes_no_line_names_the_setting(tmp_path: pathlib.Path) -> None:
    """Before anything is removed."""
    (tmp_path / "file").touch()

    for act in (ledger.check, ledger.read):
        with pytest.raises(errors.LocalError, match="GEOINGEST_ERASURE_LEDGER"):
            act(tmp_path / "file" / "erasures.jsonl")
