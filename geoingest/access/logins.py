"""Logging in by e-mail and password, in two round trips to the database at most.

1. There must be room in the queue of passwords, and nobody may try all the time, right or wrong; else the
   try is refused before anything is asked.
2. One statement reads whose e-mail it is, and whether this account or this address has to wait. It does so
   for whatever was given, and who has to wait is refused before any hash.
3. The hash takes its time in a thread, the same for a wrong password, an e-mail that nobody has, a viewer
   without a password and one that is revoked; they are answered alike, to the byte.
4. One more statement: the session begins and the account's failures are forgiven, or a failure is counted,
   without which nobody is told that it was one.
"""

from __future__ import annotations

import datetime
from typing import NamedTuple

from geoingest import db, errors, http, metrics, rates
from geoingest.access import passwords, sessions, throttle, tokens
from geoingest.bearer import Bearer

_outcomes = {
    outcome: metrics.logins.labels(outcome)
    for outcome in (
        "ok",
        errors.WrongCredentialsError.reason,
        errors.TooManyLoginsError.reason,
        errors.OverloadedError.reason,
        errors.DatabaseUnavailableError.reason,
    )
}


class Try(NamedTuple):
    """What was typed, and at which address; the e-mail as accounts keep it."""

    email: str
    password: str
    address: str

    @property
    def keys(self) -> throttle.Keys:
        """What it is counted by when it fails."""
        return throttle.keys(self.email, self.address)


class LoggedIn(NamedTuple):
    """Who is logged in now, by which token, which is shown this once, and until when."""

    viewer_id: int
    role: str
    token: str
    ends_at: datetime.datetime


class _Right(NamedTuple):
    """Whose password was right."""

    viewer_id: int
    role: str
    password_hash: str
    rehashed: str | None


class Logins:
    """Lets viewers in."""

    def __init__(
        self,
        primary: db.Pool,
        hashes: passwords.Passwords,
        terms: sessions.Terms,
        *,
        tries_per_second: float,
    ) -> None:
        self._primary = primary
        self._hashes = hashes
        self._terms = terms
        self._rates = rates.Rates(tries_per_second)

    async def log_in(self, one: Try) -> LoggedIn:
        """A new session; WrongCredentialsError, TooManyLoginsError or ServiceError."""
        try:
            logged_in = await self._begin(await self._check(one), one.keys)
        except errors.HttpError as exc:
            _outcomes[exc.reason].inc()
            raise
        _outcomes["ok"].inc()
        return logged_in

    async def email_of(self, owner: Bearer) -> str:
        """What a session was begun with; UnauthenticatedError when it has ended."""
        async with db.asking(self._primary) as connection:
            row = await connection.fetchrow(db.queries()["email_of_session"], owner.session_id)
        if row is None:
            raise errors.UnauthenticatedError
        return str(row["email"])

    async def change_password(self, owner: Bearer, one: Try, new: str) -> None:
        """The new one for the old, which ends the owner's other sessions; also BadPasswordError."""
        right = await self._check(one)
        fault = passwords.fault(new, one.email)
        if fault is not None:
            raise errors.BadPasswordError(fault)
        values = [right.viewer_id, right.password_hash, await self._hashes.hash(new)]
        async with db.asking(self._primary) as connection, connection.transaction():
            if not await connection.fetchrow(db.queries()["change_password"], *values):
                raise errors.WrongCredentialsError
            # A statement of its own: it sees the sessions of those who logged in meanwhile.
            await connection.execute(
                db.queries()["end_sessions"], owner.viewer_id, owner.session_id
            )

    async def _check(self, one: Try) -> _Right:
        # By both, or a stranger could use up the account's.
        wait_seconds = self._rates.wait_seconds(int.from_bytes(one.keys.both[:8]))
        if wait_seconds:
            raise errors.TooManyLoginsError(wait_seconds)
        self._hashes.require_room()
        async with db.asking(self._primary) as connection:
            row = await connection.fetchrow(
                db.queries()["begin_login"],
                one.email,
                *one.keys,
                *throttle.ACCOUNT,
                *throttle.ADDRESS,
            )
        assert row is not None, "it always gives a row"  # noqa: S101  # for the type checker
        if row["wait_seconds"] > 0:
            raise errors.TooManyLoginsError(row["wait_seconds"])
        verdict = await self._hashes.verify(row["password_hash"], one.password)
        if not verdict.is_right:
            async with db.asking(self._primary) as connection:
                await connection.execute(db.queries()["count_login_failure"], *one.keys)
            raise errors.WrongCredentialsError
        return _Right(row["viewer_id"], row["role"], row["password_hash"], verdict.rehashed)

    async def _begin(self, right: _Right, keys: throttle.Keys) -> LoggedIn:
        token = tokens.create("session")
        async with db.asking(self._primary) as connection:
            row = await connection.fetchrow(
                db.queries()["complete_login"],
                right.viewer_id,
                right.password_hash,
                right.rehashed,
                http.digest(token),
                int(self._terms.idle.total_seconds()),
                self._terms.lasts,
                keys.account,
                keys.both,
            )
        if row is None:
            raise errors.WrongCredentialsError
        return LoggedIn(right.viewer_id, right.role, token, row["ends_at"])
