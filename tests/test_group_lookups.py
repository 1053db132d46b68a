"""An answer of many students is on record as a group's, and each of them is told as of an answer of its own."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Iterable
from typing import Any, NamedTuple

import asyncpg
import psycopg
import pytest

from geoingest import connections, db, lookup
from geoingest.access import ledger, provision
from geoingest.bearer import Bearer
from geoingest.lifecycle import lookups
from geoingest.local import roles
from tests import conftest, guardians

# More than are recorded one by one.
MANY = 60
DAY = datetime.timedelta(days=1)


class Crowd(NamedTuple):
    """Many students, of whom some have a position, and who sees all."""

    students: list[provision.Enrolled]
    placed: set[int]
    viewer_id: int
    token: str

    @property
    def ids(self) -> set[int]:
        """Of all."""
        return {one.student_id for one in self.students}


@pytest.fixture
def crowd(database: conftest.Database) -> Crowd:
    """Every third has a position."""
    with db.direct(database.url) as connection, connection.transaction():
        students = provision.bulk(connection, MANY)
        viewer_id, token = provision.add_viewer(connection, None)
    placed = {one.student_id for one in students[::3]}
    for student_id in placed:
        guardians.store(database, student_id, guardians.ago(minutes=1))
    return Crowd(students, placed, viewer_id, token)


def _groups(database: conftest.Database) -> dict[object, set[object]]:
    """Who is in which."""
    query = (
        "SELECT group_id, array_agg(student_id) FROM lookup_group_students GROUP BY 1 ORDER BY 1"
    )
    return {group_id: set(students) for group_id, students in database.query(query)}  # type: ignore[call-overload]  # an array


def _recorded(database: conftest.Database) -> list[tuple[object, ...]]:
    """Who looked at how many, and what each was shown."""
    return database.query(
        "SELECT viewer_id, cardinality(array_agg(student_id)), rows"
        " FROM group_lookups JOIN lookup_group_students USING (group_id)"
        " GROUP BY lookup_id, viewer_id, rows ORDER BY lookup_id"
    )


async def _lookups(running: conftest.Running, token: str, student_id: int) -> list[dict[str, Any]]:
    path = f"/v1/students/{student_id}/lookups"
    found: list[dict[str, Any]] = (await guardians.Guardian(running, token).ask(path)).body[
        "lookups"
    ]
    return found


async def test_all_of_an_answer_are_two_rows_of_one_commit(
    primary: conftest.Running, database: conftest.Database, crowd: Crowd
) -> None:
    """One for those who have a position, one for those of whom is told that they have none."""
    answer = await guardians.Guardian(primary, crowd.token).ask("/v1/locations")

    assert {one["student_id"] for one in answer.body["locations"]} == crowd.placed
    assert _recorded(database) == [
        (crowd.viewer_id, len(crowd.placed), 1),
        (crowd.viewer_id, MANY - len(crowd.placed), 0),
    ]
    assert list(_groups(database).values()) == [crowd.placed, crowd.ids - crowd.placed]
    commits = "SELECT count(DISTINCT xmin::text) FROM group_lookups"
    assert database.query(commits) == [(1,)]
    assert database.query("SELECT count(*) FROM lookups") == [(0,)]


async def test_who_looks_again_looks_at_the_same_group(
    primary: conftest.Running, database: conftest.Database, crowd: Crowd
) -> None:
    """Whoever it is, until one of them has a position who had none."""
    with db.direct(database.url) as connection:
        other_id, other = provision.add_viewer(connection, None)
    for token in (crowd.token, crowd.token, other):
        await guardians.Guardian(primary, token).ask("/v1/locations")
    groups_before = len(_groups(database))
    (newly,) = sorted(crowd.ids - crowd.placed)[:1]
    guardians.store(database, newly, guardians.ago(minutes=2))

    await guardians.Guardian(primary, other).ask("/v1/locations")

    assert groups_before == 2
    assert len(_groups(database)) == 4
    assert [row[0] for row in _recorded(database)] == [crowd.viewer_id] * 4 + [other_id] * 4


async def test_each_student_is_told_among_its_own(primary: conftest.Running, crowd: Crowd) -> None:
    """In order, with what was shown of this one, page by page; and nobody else is named."""
    child = crowd.students[0]
    absent = crowd.students[1]
    guardian = guardians.Guardian(primary, child.viewer_token)
    path = f"/v1/students/{child.student_id}"
    for _ in range(3):
        await guardians.Guardian(primary, crowd.token).ask("/v1/locations")
        await guardian.ask(f"{path}/location")

    pages = [(await guardian.ask(f"{path}/lookups", limit=2)).body]
    while pages[-1]["next"]:
        cursor = pages[-1]["next"]
        pages.append((await guardian.ask(f"{path}/lookups", limit=2, cursor=cursor)).body)
    of_absent = await _lookups(primary, absent.viewer_token, absent.student_id)

    told = [one for page in pages for one in page["lookups"]]
    assert [one["kind"] for one in told] == ["location", "locations"] * 3
    assert {(one["viewer_id"], one["rows"]) for one in told[1::2]} == {(crowd.viewer_id, 1)}
    assert all(one["from"] is one["to"] is one["share_id"] is None for one in told[1::2])
    assert {(one["kind"], one["viewer_id"], one["rows"]) for one in of_absent} == {
        ("locations", crowd.viewer_id, 0)
    }


async def test_a_window_holds_its_start_and_not_its_end(
    primary: conftest.Running, database: conftest.Database, crowd: Crowd
) -> None:
    """As of other look-ups."""
    await guardians.Guardian(primary, crowd.token).ask("/v1/locations")
    child = crowd.students[0]
    guardian = guardians.Guardian(primary, child.viewer_token)
    path = f"/v1/students/{child.student_id}/lookups"
    (looked,) = (await guardian.ask(path)).body["lookups"]
    instant = guardians.instant(looked, "looked_at")
    later = instant + datetime.timedelta(microseconds=1)

    async def kinds(start: datetime.datetime, end: datetime.datetime) -> list[str]:
        window = {"from": start.isoformat(), "to": end.isoformat()}
        answer = await guardian.ask(path, **window)
        return [one["kind"] for one in answer.body["lookups"]]

    assert await kinds(instant, later) == ["locations"]
    assert await kinds(instant - DAY, instant) == []
    assert set(await kinds(later, instant + DAY)) == {"lookups"}


async def _connected(database: conftest.Database) -> asyncpg.Connection[db.Record]:
    return await connections.connect(conftest.as_role(database.url, roles.INGEST))


def _look(viewer_id: int, students: Iterable[int], session_id: int = 0) -> lookup.Lookup:
    rows = dict.fromkeys(students, 1)
    return lookup.Lookup(Bearer(viewer_id, session_id), "locations", None, None, rows)


async def test_only_whom_the_primary_lets_be_seen_is_on_record(
    database: conftest.Database, crowd: Crowd
) -> None:
    """The others are given back, of each answer of a batch its own; who sees nobody leaves no row."""
    (guardian,) = database.query(
        "SELECT viewer_id FROM guardianships WHERE student_id = $1", crowd.students[0].student_id
    )[0]
    erased = crowd.students[5].student_id
    database.query("UPDATE students SET erased_at = now() WHERE student_id = $1", erased)
    connection = await _connected(database)

    refused = await ledger.write_groups(
        connection,
        [
            _look(crowd.viewer_id, crowd.ids),
            _look(int(str(guardian)), crowd.ids),
            _look(10**6, crowd.ids),
        ],
    )
    await connection.close()

    own = crowd.students[0].student_id
    assert refused == [{erased}, crowd.ids - {own}, crowd.ids]
    assert _recorded(database) == [(crowd.viewer_id, MANY - 1, 1), (guardian, 1, 1)]
    assert list(_groups(database).values()) == [crowd.ids - {erased}, {own}]


async def test_a_session_is_used_and_an_ended_one_is_not_revived(
    database: conftest.Database, crowd: Crowd
) -> None:
    """Its last use is kept, by a look-up that was recorded, and by no other."""
    used = (
        "INSERT INTO sessions (token_digest, viewer_id, used_at, ends_at, idle_seconds)"
        " VALUES (sha256($1::text::bytea), $2, now() - $3::interval, now() + interval '1 day', 3600)"
        " RETURNING session_id"
    )
    ((alive,),) = database.query(used, "one", crowd.viewer_id, "30 minutes")
    ((idle,),) = database.query(used, "other", crowd.viewer_id, "2 hours")
    connection = await _connected(database)

    refused = await ledger.write_groups(
        connection,
        [_look(crowd.viewer_id, crowd.ids, session_id=int(str(one))) for one in (alive, idle)],
    )
    await connection.close()

    assert refused == [set(), crowd.ids]
    minutes = "SELECT session_id, now() - used_at < interval '1 minute' FROM sessions"
    assert set(database.query(minutes)) == {(alive, True), (idle, False)}


async def test_two_processes_make_one_group(database: conftest.Database, crowd: Crowd) -> None:
    """Both at once, where there was none: the second waits for the first, and takes its group."""
    first, second = await _connected(database), await _connected(database)
    looks = [_look(crowd.viewer_id, crowd.ids)]
    transaction = first.transaction()
    await transaction.start()
    await ledger.write_groups(first, looks)
    waiting = asyncio.create_task(ledger.write_groups(second, looks))
    done, _ = await asyncio.wait([waiting], timeout=0.3)
    assert not done
    await transaction.commit()
    await waiting
    await first.close()
    await second.close()

    assert list(_groups(database).values()) == [crowd.ids]
    assert len(_recorded(database)) == 2


@pytest.mark.parametrize("who", ["owner", "superuser"])
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE group_lookups SET viewer_id = 2",
        "DELETE FROM group_lookups",
        "TRUNCATE group_lookups",
        "UPDATE lookup_group_students SET student_id = 2",
        "DELETE FROM lookup_group_students WHERE FALSE",
        "TRUNCATE lookup_group_students",
        "UPDATE lookup_groups SET digest = sha256('')",
        "DELETE FROM lookup_groups",
        "TRUNCATE lookup_groups CASCADE",
        "SELECT expire_lookups(now() - interval '1 year', 10); DELETE FROM group_lookups",
    ],
)
def test_no_row_is_changed(database: conftest.Database, statement: str, who: str) -> None:
    """Neither by the tables' owner nor by the superuser."""
    url = database.url if who == "owner" else database.admin_url

    with psycopg.connect(url) as connection, pytest.raises(psycopg.errors.RestrictViolation):
        connection.execute(statement.encode())


async def test_what_is_a_year_old_leaves_and_with_it_a_group_that_nobody_looks_at(
    database: conftest.Database, crowd: Crowd
) -> None:
    """A group that somebody has looked at since stays, and so do younger look-ups."""
    connection = await _connected(database)
    await ledger.write_groups(
        connection, [_look(crowd.viewer_id, crowd.ids), _look(crowd.viewer_id, crowd.placed)]
    )
    await connection.close()
    everybody, some = _groups(database)
    with psycopg.connect(database.admin_url) as admin:
        admin.execute("ALTER TABLE group_lookups DISABLE TRIGGER USER")
        admin.execute("UPDATE group_lookups SET looked_at = now() - interval '400 days'")
        admin.execute("UPDATE lookup_groups SET used_at = now() - interval '400 days'")
        admin.execute("ALTER TABLE group_lookups ENABLE TRIGGER USER")
    connection = await _connected(database)
    await ledger.write_groups(connection, [_look(crowd.viewer_id, crowd.placed)])
    await connection.close()

    with db.direct(database.url) as direct:
        told = str(lookups.run_once(direct, database.settings(), guardians.NOW))

    assert told == "2 look-ups gone"
    assert _groups(database) == {some: crowd.placed}
    assert _recorded(database) == [(crowd.viewer_id, len(crowd.placed), 1)]
    assert everybody != some


async def test_who_reads_sees_groups_of_its_students_alone(
    primary: conftest.Running, database: conftest.Database, crowd: Crowd
) -> None:
    """By row-level security: of a group its own student, and no look-up of another's."""
    await guardians.Guardian(primary, crowd.token).ask("/v1/locations")
    child = crowd.students[0]
    ((guardian,),) = database.query(
        "SELECT viewer_id FROM guardianships WHERE student_id = $1", child.student_id
    )
    reading = conftest.as_role(database.url, roles.READ)

    def seen(viewer_id: object) -> tuple[list[Any], list[Any]]:
        with psycopg.connect(reading) as connection:
            connection.execute("SELECT act_as(%s, 0, NULL)", [viewer_id])
            members = "SELECT student_id FROM lookup_group_students"
            looks = "SELECT viewer_id, rows FROM group_lookups ORDER BY lookup_id"
            return connection.execute(members).fetchall(), connection.execute(looks).fetchall()

    assert seen(guardian) == ([(child.student_id,)], [(crowd.viewer_id, 1)])
    assert seen(10**6) == ([], [])
    assert len(seen(crowd.viewer_id)[0]) == MANY


async def test_what_cannot_be_recorded_is_not_shown(
    primary: conftest.Running, database: conftest.Database, crowd: Crowd
) -> None:
    """503 with the reason, and no position."""
    database.query("ALTER TABLE group_lookups ADD CONSTRAINT closed CHECK (FALSE) NOT VALID")

    refused = await guardians.Guardian(primary, crowd.token).ask("/v1/locations")

    assert (refused.status, refused.body["reason"]) == (503, "not_recorded")
    assert b"52.5" not in refused.raw
