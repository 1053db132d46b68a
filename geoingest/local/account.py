"""Which user the embedded servers run as: PostgreSQL refuses root."""

from __future__ import annotations

import os
import pathlib
import pwd
import shutil
import subprocess
from typing import NamedTuple

from geoingest import errors

# Unprivileged users that machines already have; none is created.
_CANDIDATES = ("postgres", "nobody")


class Account(NamedTuple):
    """The server's user, or (None) whoever runs us."""

    uid: int | None
    gid: int | None

    def own(self, path: pathlib.Path) -> None:
        """Gives the path to the server's user."""
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)

    def can(self, *command: str | pathlib.Path) -> bool:
        """True when the server's user can run this command."""
        try:
            self.run(*command)
        except (OSError, subprocess.CalledProcessError):
            return False
        return True

    def run(self, *command: str | pathlib.Path, environment: dict[str, str] | None = None) -> str:
        """Runs a command as the server's user and returns its output; CalledProcessError."""
        done = subprocess.run(  # noqa: S603  # our own commands, no shell
            [str(part) for part in command],
            check=True,
            capture_output=True,
            text=True,
            cwd="/",
            env={**os.environ, **(environment or {})},
            **self.credentials(),  # type: ignore[call-overload]  # user and group
        )
        return str(done.stdout)

    def credentials(self) -> dict[str, object]:
        """What subprocess needs to become this user."""
        if self.uid is None:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}


def choose(folder: pathlib.Path) -> Account:
    """Ourselves; for root the owner of an existing data folder, else a user with no rights."""
    if os.geteuid() != 0:
        return Account(None, None)
    data = folder / "primary"
    if data.exists() and data.stat().st_uid != 0:
        owner = data.stat()
        return Account(owner.st_uid, owner.st_gid)
    for candidate in _CANDIDATES:
        try:
            entry = pwd.getpwnam(candidate)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    raise errors.LocalError(
        f"PostgreSQL refuses to run as root and none of the users {', '.join(_CANDIDATES)} is here;"
        " run geoingest as an ordinary user"
    )


def prepare(folder: pathlib.Path, account: Account) -> None:
    """Makes the data folder and checks that the server's user can reach it."""
    try:
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    except OSError as exc:
        raise errors.LocalError(f"cannot make {folder}: {exc.strerror}") from exc
    test = shutil.which("test") or "/usr/bin/test"
    if not account.can(test, "-x", folder):
        raise errors.LocalError(
            f"the database's user cannot reach {folder}: choose a folder outside of a private"
            " home with GEOINGEST_DATA_DIR, such as /var/lib/geoingest"
        )
