"""What stands in the way of the embedded databases is said at once, with the next step."""

from __future__ import annotations

import os
import pathlib
import re
import tempfile

import pytest

from geoingest import errors
from geoingest.local import folder
from tests import clusters, conftest


def test_a_folder_is_held_by_one_at_a_time() -> None:
    """A second `up` on the same folder is refused; after the first has gone it is let in."""
    with clusters.folder() as path:
        with (
            folder.only_one(path),
            pytest.raises(errors.LocalError, match=r"already up .* GEOINGEST_DATA_DIR"),
            folder.only_one(path),
        ):
            pass
        with folder.only_one(path):
            pass


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's servers run as another user")
def test_a_folder_out_of_the_servers_reach_is_refused() -> None:
    """Below a private folder of root's the database's user sees nothing: name another place."""
    with tempfile.TemporaryDirectory() as private:
        pathlib.Path(private).chmod(0o700)

        with pytest.raises(errors.LocalError, match=r"cannot reach .* GEOINGEST_DATA_DIR"):
            clusters.servers(pathlib.Path(private) / "data")


def test_a_directory_of_another_version_is_refused() -> None:
    """Data that an older PostgreSQL made are not touched: name its programs, or another folder."""
    with clusters.folder() as path:
        (path / "primary").mkdir()
        (path / "primary" / "PG_VERSION").write_text("9\n")

        with pytest.raises(errors.LocalError, match=r"PostgreSQL 9.*--postgres-bin"):
            clusters.servers(path).start(conftest.SERVER_SETTINGS)


def test_a_start_that_fails_names_the_servers_log() -> None:
    """A directory that postgres does not take ends the start, with the place where it says why."""
    with clusters.folder() as path:
        servers = clusters.servers(path)
        (path / "primary").mkdir()
        major = re.findall(r"(\d+)\.", servers.version)[0]
        (path / "primary" / "PG_VERSION").write_text(f"{major}\n")

        with pytest.raises(errors.LocalError, match=r"primary\.log"):
            servers.start(conftest.SERVER_SETTINGS)

        assert (path / "primary.log").read_text()
        servers.stop()
