"""The CSV of tokens: read back as written, kept to its owner, never written over."""

from __future__ import annotations

import os
import pathlib
import stat

import pytest

from geoingest import errors
from geoingest.access import provision, roster

_ENROLLED = [
    provision.Enrolled(1, 7, "gi_dev_abc", "gi_view_def"),
    provision.Enrolled(2**63 - 1, 2**31 - 1, "gi_dev_-_", 'gi_view_,"'),
]


@pytest.mark.parametrize("enrolled", [_ENROLLED, []], ids=["two", "nobody"])
def test_what_is_written_is_read_back(
    tmp_path: pathlib.Path, enrolled: list[provision.Enrolled]
) -> None:
    """The file holds every student with both tokens, under the header users rely on."""
    path = tmp_path / "school.csv"
    with roster.create(path) as file:
        roster.write(file, enrolled)

    assert roster.read(path) == enrolled
    header = path.read_text().splitlines()[0]
    assert header == "student_id,device_id,device_token,viewer_token"


@pytest.mark.parametrize("umask", [0o000, 0o022])
def test_only_its_owner_can_read_it(tmp_path: pathlib.Path, umask: int) -> None:
    """Mode 0600 from the first moment, also where an empty file with another mode was there."""
    path = tmp_path / "school.csv"
    path.touch(mode=0o666)
    before = os.umask(umask)
    try:
        roster.create(path).close()
    finally:
        os.umask(before)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_with_content_is_never_written_over(tmp_path: pathlib.Path) -> None:
    """Tokens are shown once: those of an earlier provision must not be lost."""
    path = tmp_path / "school.csv"
    path.write_text("precious")

    with pytest.raises(errors.LocalError, match=r"school\.csv exists"):
        roster.create(path)

    assert path.read_text() == "precious"


def test_no_link_leads_elsewhere(tmp_path: pathlib.Path) -> None:
    """A link planted at the path does not make us write tokens into its target."""
    target, path = tmp_path / "target", tmp_path / "school.csv"
    target.touch()
    path.symlink_to(target)

    with roster.create(path) as file:
        roster.write(file, _ENROLLED)

    assert target.read_text() == ""
    assert not path.is_symlink()


def test_a_folder_that_is_not_there_is_told(tmp_path: pathlib.Path) -> None:
    """LocalError with the path, not a traceback."""
    with pytest.raises(errors.LocalError, match="missing"):
        roster.create(tmp_path / "missing" / "school.csv")


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"name,age\nx,1\n", id="other columns"),
        pytest.param(b"student_id,device_id,device_token,viewer_token\none,2,a,b\n", id="words"),
        pytest.param(b"student_id,device_id,device_token,viewer_token\n1,2,a,b\n3", id="cut at id"),
        pytest.param(b"student_id,device_id,device_token,viewer_token\n1,2\n", id="cut at token"),
        pytest.param(b"\xff\xfe\x00", id="not text"),
    ],
)
def test_a_file_that_is_not_ours_is_named(tmp_path: pathlib.Path, content: bytes) -> None:
    """Whatever is wrong with it, LocalError says which file and what it should hold."""
    path = tmp_path / "school.csv"
    path.write_bytes(content)

    with pytest.raises(errors.LocalError, match=r"school\.csv is not a CSV with student_id"):
        roster.read(path)
