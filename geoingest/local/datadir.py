"""A server's data directory: made by initdb, or copied from the primary by pg_basebackup."""

from __future__ import annotations

import contextlib
import pathlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator

from geoingest import errors
from geoingest.local import account


class Programs:
    """PostgreSQL's programs, run as the servers' user."""

    def __init__(self, folder: pathlib.Path, owner: account.Account) -> None:
        self.folder = folder
        self._owner = owner

    @property
    def version(self) -> str:
        """What postgres says of itself: postgres (PostgreSQL) 18.4."""
        return self._owner.run(self.folder / "postgres", "--version").strip()

    def initdb(self, data: pathlib.Path, *, password: str) -> None:
        """A new, empty primary with checksums, UTF-8 and scram passwords."""
        with _finished_or_gone(data, self._owner) as making, _secret(password) as secret:
            self._owner.own(secret)
            self._run(
                "initdb",
                *("--pgdata", making),
                *("--username", "postgres"),
                *("--pwfile", secret),
                *("--auth", "scram-sha-256"),
                *("--encoding", "UTF8"),
                *("--locale", "C"),
                "--data-checksums",
            )

    def basebackup(
        self, data: pathlib.Path, *, sockets: pathlib.Path, port: int, slot: str, password: str
    ) -> None:
        """A copy of the running primary that will start as its standby."""
        with _finished_or_gone(data, self._owner) as making:
            self._run(
                "pg_basebackup",
                *("--pgdata", making),
                *("--host", sockets),
                *("--port", str(port)),
                *("--username", "postgres"),
                *("--slot", slot),
                *("--checkpoint", "fast"),
                *("--wal-method", "stream"),
                environment={"PGPASSWORD": password},
            )
            signal_file = making / "standby.signal"
            signal_file.touch()
            self._owner.own(signal_file)

    def check_version(self, data: pathlib.Path) -> None:
        """LocalError when another major version made this directory."""
        made_by = (data / "PG_VERSION").read_text().strip()
        if f" {made_by}." not in self.version:
            raise errors.LocalError(
                f"{data} was made by PostgreSQL {made_by}, and this is {self.version}:"
                " name the old one with --postgres-bin DIR, or use another GEOINGEST_DATA_DIR"
            )

    def _run(
        self,
        program: str,
        *arguments: str | pathlib.Path,
        environment: dict[str, str] | None = None,
    ) -> None:
        try:
            self._owner.run(self.folder / program, *arguments, environment=environment)
        except subprocess.CalledProcessError as exc:
            raise errors.LocalError(f"{program} failed: {exc.stderr.strip()}") from exc


def exists(data: pathlib.Path) -> bool:
    """True for a directory that was made to the end."""
    return (data / "PG_VERSION").exists()


@contextlib.contextmanager
def _finished_or_gone(data: pathlib.Path, owner: account.Account) -> Iterator[pathlib.Path]:
    """A folder that gets its name only once it is whole, so that a killed start leaves no half one."""
    making = data.with_suffix(".making")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(mode=0o700)
    owner.own(making)
    yield making
    making.rename(data)


@contextlib.contextmanager
def _secret(text: str) -> Iterator[pathlib.Path]:
    """A file with the password for as long as initdb reads it."""
    with tempfile.NamedTemporaryFile("w", suffix=".pw") as file:
        file.write(text)
        file.flush()
        yield pathlib.Path(file.name)
