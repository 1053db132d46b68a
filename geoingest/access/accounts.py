"""An account: the e-mail and the password that a viewer logs in with, set by hand."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import psycopg

from geoingest import db, errors
from geoingest.access import passwords, throttle

# RFC 5321 has no way to a longer one.
_MOST_EMAIL_LETTERS = 254


class UnknownViewerError(errors.GeoingestError):
    """Something was to be done with a viewer who is not there, or is revoked."""


class BadAccountError(errors.GeoingestError):
    """An e-mail or a password that nobody can log in with."""

    exit_code = 2


def normalised(email: str) -> str:
    """As it is kept: whoever types it cares neither for capitals nor for spaces around it."""
    return unicodedata.normalize("NFC", email.strip().lower())


def set_password(
    connection: db.DirectConnection, viewer_id: int, email: str | None, password: str
) -> int:
    """From now on the viewer logs in with it; how many sessions have ended.

    BadAccountError, or UnknownViewerError.
    """
    kept = None if email is None else normalised(email)
    if kept is not None and not _is_email(kept):
        raise BadAccountError("--email: as name@example.org")
    fault = passwords.fault(password, kept or "")
    if fault is not None:
        raise BadAccountError(f"the password: {fault}")
    values = [viewer_id, kept, passwords.hash_now(password)]
    with connection.transaction():
        found = _set(connection, values)
        connection.execute(db.queries()["forgive"], [throttle.account(found)])
        # A statement of its own: it sees the sessions of those who logged in meanwhile.
        return connection.execute(db.queries()["end_sessions"], [viewer_id, 0]).rowcount


def _set(connection: db.DirectConnection, values: Sequence[object]) -> str:
    try:
        row = connection.execute(db.queries()["set_password"], values).fetchone()
    except psycopg.errors.UniqueViolation as exc:
        raise BadAccountError("--email: another viewer has it") from exc
    except psycopg.errors.CheckViolation as exc:
        raise BadAccountError("--email: the viewer has none yet, or it cannot be kept") from exc
    if row is None:
        raise UnknownViewerError(f"there is no viewer {values[0]}, or it is revoked")
    return str(row["email"])


def _is_email(text: str) -> bool:
    name, _, domain = text.rpartition("@")
    return (
        bool(name and domain)
        and len(text) <= _MOST_EMAIL_LETTERS
        and text.isprintable()
        and " " not in text
    )
