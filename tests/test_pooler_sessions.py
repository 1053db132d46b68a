"""Behind a pooler nothing of a session is used, and what needs a session goes past it."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from geoingest import db
from geoingest.access import provision
from geoingest.local import cluster
from tests import clusters, commands, conftest, guardians, poolers

# What one session leaves for the next begins with another word, or is called by name.
_STATELESS = ("BEGIN", "COMMIT", "ROLLBACK", "SELECT", "INSERT", "COPY", "WITH")
_STATEFUL = ("pg_advisory_lock", "pg_try_advisory_lock", "set_config", "TEMP")


@pytest.fixture
def primary() -> Iterator[cluster.Cluster]:
    """A server whose log holds every statement."""
    chatty = {"log_statement": "all", "log_line_prefix": "%a %p|"}
    with clusters.alone({**conftest.SERVER_SETTINGS, **chatty}) as made:
        yield made


class _Statement(NamedTuple):
    """How and what the service asked, out of the server's log: `statement`, `execute <unnamed>`, ..."""

    session: str
    how: str
    what: str


def _statements(primary: cluster.Cluster) -> list[_Statement]:
    pattern = r"^geoingest (\d+)\|LOG:  (statement|execute [^:]*): (.*(?:\n\t.*)*)$"
    text = primary.primary.log_path.read_text()
    found = re.finditer(pattern, text, re.MULTILINE)
    return [_Statement(one[1], one[2], one[3].strip()) for one in found]


def _of_a_session(statements: list[_Statement]) -> list[_Statement]:
    """Those that leave something in the session, or need something that was left there."""
    found, in_transaction = [], set()
    for one in statements:
        if one.what.startswith("BEGIN"):
            in_transaction.add(one.session)
        elif one.what.startswith(("COMMIT", "ROLLBACK")):
            in_transaction.discard(one.session)
        # The driver's own look-up of types, which puts back what it has set.
        looks_up = "set_config('jit'" in one.what and one.session in in_transaction
        if (
            one.how not in {"statement", "execute <unnamed>"}
            or not one.what.startswith(_STATELESS)
            or (any(word in one.what for word in _STATEFUL) and not looks_up)
        ):
            found.append(one)
    return found


@pytest.mark.parametrize("pooler", ["transaction", "none"])
async def test_nothing_of_a_session_is_used(
    primary: cluster.Cluster, start: conftest.Start, pooler: str
) -> None:
    """Every statement of a service at work is in the server's log; without the setting some are prepared."""
    database = clusters.database(primary)
    school = clusters.school(database, students=2)
    before = len(_statements(primary))

    running = await start(database.settings(pooler=pooler))
    await _work(running, school[0])
    found = _statements(primary)[before:]

    # All of its ways of asking were seen.
    asked = " ".join(one.what for one in found)
    for words in (
        "COPY",
        "ON CONFLICT",
        "BEGIN",
        "COMMIT",
        "pg_is_in_recovery",
        "devices",
        "lookups",
    ):
        assert words in asked
    assert bool(_of_a_session(found)) == (pooler == "none")


async def _work(running: conftest.Running, student: provision.Enrolled) -> None:
    """New pings, duplicates, a reject; every read; readiness."""
    headers = {"Authorization": f"Bearer {student.device_token}"}
    good = {"timestamp": guardians.NOW.isoformat(), "latitude": 52.5, "longitude": 13.4}
    for body in ([good], [good], [good, {**good, "latitude": 91}]):
        async with running.client.post("/v1/pings", json=body, headers=headers) as got:
            assert got.status == 200
    guardian = guardians.Guardian(running, student.viewer_token)
    for path in ("location", "track"):
        answer = await guardian.ask(f"/v1/students/{student.student_id}/{path}")
        assert answer.status == 200
    assert (await guardian.ask("/v1/locations")).status == 200
    async with running.admin.get("/readyz") as got:
        assert got.status == 200


def test_every_array_that_a_query_takes_is_looked_up_in_time() -> None:
    """Later the driver would do it outside of any transaction, with jit off in one session and on in another."""
    queries = dict(db.queries())
    known = set(_arrays(queries.pop("array_types")))

    assert set(_arrays(" ".join(queries.values()))) == known


def _arrays(text: str) -> list[str]:
    return re.findall(r"::([a-z ]+\[\])", text)


@poolers.needed
async def test_the_check_finds_statements_that_were_prepared(
    servers: cluster.Cluster,
    database: conftest.Database,
    start: conftest.Start,
    school: list[provision.Enrolled],
) -> None:
    """Through PgBouncer without the setting: what was prepared on one session is not there on another."""
    statuses = {}

    with poolers.in_front_of(servers, cluster.PRIMARY_PORT) as bouncer:
        through = poolers.pooled(database, bouncer, None)
        for pooler in ("transaction", "none"):
            running = await start(through.settings(pooler=pooler))
            guardian = guardians.Guardian(running, school[0].viewer_token)
            answers = [await guardian.ask("/v1/locations") for _ in range(50)]
            statuses[pooler] = {one.status for one in answers}

    assert statuses["transaction"] == {200}
    assert 500 in statuses["none"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("migrate",),
        ("jobs",),
        ("jobs", "--once"),
        ("jobs", "run", "partitions"),
        ("jobs", "status"),
        ("provision", "--students", "1"),
        ("device", "add", "--student", "1"),
        ("device", "revoke", "1"),
        ("viewer", "add", "--students", "all"),
        ("school", "add", "--time-zone", "UTC"),
        ("student", "move", "--school", "1", "--students", "all"),
        ("simulate", "--seconds", "1"),
        ("up",),
    ],
    ids=" ".join,
)
def test_what_needs_a_session_is_refused_without_a_direct_way(
    arguments: tuple[str, ...], tmp_path: pathlib.Path
) -> None:
    """Through the pooler an advisory lock would keep nobody out: exit code 78 and the setting's name."""
    environment = {
        "DATABASE_URL": "postgresql://geo@127.0.0.1:1/geo",
        "GEOINGEST_POOLER": "transaction",
        "GEOINGEST_DATA_DIR": str(tmp_path),
    }

    result = commands.run(*arguments, environment=environment)

    assert result.exit_code == 78, result.stderr
    assert "DATABASE_DIRECT_URL is missing" in result.stderr
