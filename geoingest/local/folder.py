"""The data folder: its lock, its password, its sockets and urls.env."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import pathlib
import secrets
import tempfile
from collections.abc import Iterator, Mapping

from geoingest import config, errors
from geoingest.local import account

# The kernel's limit of a socket's path, with room for /.s.PGSQL.5432.
_LONGEST_SOCKET_FOLDER = 90


@contextlib.contextmanager
def only_one(folder: pathlib.Path) -> Iterator[None]:
    """Holds the data folder for the block; LocalError when another `geoingest up` has it."""
    try:
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        held = (folder / "up.lock").open("a")
    except OSError as exc:
        raise errors.LocalError(
            f"cannot write to {folder} ({exc.strerror}); choose another with GEOINGEST_DATA_DIR"
        ) from exc
    with held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise errors.LocalError(
                f"geoingest is already up on {folder}; for a second one set GEOINGEST_DATA_DIR,"
                " GEOINGEST_PORT and GEOINGEST_ADMIN_PORT"
            ) from exc
        yield


def password(folder: pathlib.Path) -> str:
    """The password of all roles, made once."""
    path = folder / "password"
    if not path.exists():
        _write_secret(path, secrets.token_urlsafe(24))
    return path.read_text()


def passfile(folder: pathlib.Path, owner: account.Account) -> pathlib.Path:
    """The password for the replica's connection: on a command line every user could read it."""
    path = folder / "replica.pgpass"
    _write_secret(path, f"*:*:*:postgres:{password(folder)}\n")
    owner.own(path)
    return path


def sockets(folder: pathlib.Path, owner: account.Account) -> pathlib.Path:
    """Beside the data; where that path is longer than a socket's may be, in the temporary folder."""
    path = folder / "run"
    if len(str(path)) > _LONGEST_SOCKET_FOLDER:
        word = hashlib.sha256(str(folder).encode()).hexdigest()[:12]
        path = pathlib.Path(tempfile.gettempdir()) / f"geoingest-{word}"
    path.mkdir(mode=0o700, exist_ok=True)
    if path.stat().st_uid not in {os.geteuid(), owner.uid}:
        raise errors.LocalError(f"{path} belongs to another user; remove it")
    owner.own(path)
    return path


def write_urls(folder: pathlib.Path, urls: Mapping[str, str]) -> pathlib.Path:
    """urls.env, readable to us alone: the other commands find the databases by it."""
    path = folder / config.URLS_FILE
    _write_secret(path, "".join(f"{name}={url}\n" for name, url in urls.items()))
    return path


def _write_secret(path: pathlib.Path, text: str) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
