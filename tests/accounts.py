"""Viewers with a password, and what they are answered when they log in."""

from __future__ import annotations

import datetime
from typing import Any, NamedTuple

from aiohttp import ClientSession
from aiohttp.test_utils import TestClient

from geoingest import db
from geoingest.access import accounts, provision
from tests import conftest, guardians

EMAIL, PASSWORD = "kim@example.org", "seven small boats at sea"
STRANGER = "nobody@example.org"

Client = ClientSession | TestClient  # type: ignore[type-arg]  # generic only for the type checker


class Account(NamedTuple):
    """A guardian who can log in, and the student whom it sees."""

    viewer_id: int
    student_id: int
    email: str = EMAIL
    password: str = PASSWORD


def add(database: conftest.Database, student: provision.Enrolled, *, email: str = EMAIL) -> Account:
    """Gives the guardian of a student an e-mail and a password."""
    query = "SELECT viewer_id FROM guardianships WHERE student_id = $1"
    ((viewer_id,),) = database.query(query, student.student_id)
    made = Account(int(str(viewer_id)), student.student_id, email)
    set_password(database, made)
    guardians.store(database, student.student_id, guardians.ago(minutes=1))
    return made


def set_password(database: conftest.Database, one: Account) -> None:
    """As an operator does."""
    with db.direct(database.url) as connection:
        accounts.set_password(connection, one.viewer_id, one.email, one.password)


async def log_in(
    client: Client, email: str = EMAIL, password: str = PASSWORD, *, at: str | None = None
) -> guardians.Answer:
    """One try, by way of a proxy from this address where one is given."""
    headers = {} if at is None else {"X-Forwarded-For": at}
    body = {"email": email, "password": password}
    async with client.post("/v1/login", json=body, headers=headers) as answer:
        return guardians.Answer(answer.status, answer.headers, await answer.read())


async def token(client: Client, email: str = EMAIL, password: str = PASSWORD) -> str:
    """That of a new session."""
    answer = await log_in(client, email, password)
    assert answer.status == 200, answer.raw
    return str(answer.body["token"])


async def ask(
    client: Client, token: str, path: str, *, method: str = "GET", **request: Any
) -> guardians.Answer:
    """Any request by this token."""
    headers = {"Authorization": f"Bearer {token}"}
    async with client.request(method, path, headers=headers, **request) as answer:
        return guardians.Answer(answer.status, answer.headers, await answer.read())


async def sees(client: Client, token: str, one: Account) -> int:
    """The status of a look at the account's student."""
    return (await ask(client, token, f"/v1/students/{one.student_id}/location")).status


def failed(database: conftest.Database, **past: float) -> None:
    """All failures so far happened so much earlier."""
    database.query(
        "UPDATE login_failures SET failed_at = failed_at - $1::interval", datetime.timedelta(**past)
    )
