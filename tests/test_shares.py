"""Who sees a student lets somebody look for a while, at nothing else, and takes it back at once."""

from __future__ import annotations

import asyncio
import datetime
import itertools
from collections.abc import Sequence
from typing import Any

import aiohttp
import pytest

from geoingest import db
from geoingest.access import provision, tokens
from geoingest.lifecycle import shares as lifecycle_shares
from geoingest.local import cluster
from geoingest.tracking import formats
from tests import commands, conftest, guardians, processes, rollups, sharers
from tests.test_privacy import _Logs

HOUR = datetime.timedelta(hours=1)
# What there is to ask of one student.
DOORS = ("location", "track", "days", "lookups", "shares")
BY_SHARE = {"location", "track"}


@pytest.fixture
def child(database: conftest.Database, school: list[provision.Enrolled]) -> provision.Enrolled:
    """A student with a ping, and others with one each."""
    for one in school:
        guardians.store(database, one.student_id, guardians.ago(minutes=1))
    return school[0]


def _enforce(database: conftest.Database) -> None:
    """Puts row-level security in force for the tables' owner, too, whom the service is in a test."""
    for table in ("geolocation_seen", "geolocation_hourly", "geolocation_daily"):
        database.query(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")


async def test_a_share_shows_where_one_student_is(
    primary: conftest.Running, database: conftest.Database, child: provision.Enrolled
) -> None:
    """Location, track and file; each look is on record as its maker's, by this share."""
    made = await sharers.made(primary, child, hours=2)
    friend = guardians.Guardian(primary, made["token"])
    path = f"/v1/students/{child.student_id}"

    answers = [
        await friend.ask(f"{path}/location"),
        await friend.ask("/v1/locations"),
        await friend.ask(f"{path}/track"),
        await friend.ask(f"{path}/track", accept=formats.CSV.content_type),
    ]
    mine = guardians.Guardian(primary, child.viewer_token)
    looked = (await mine.ask(f"{path}/lookups")).body["lookups"]

    assert made["token"].startswith("gi_share_")
    assert [one.status for one in answers] == [200] * 4
    assert [one["student_id"] for one in answers[1].body["locations"]] == [child.student_id]
    assert len(answers[2].body["points"]) == 1
    assert [(one["kind"], one["share_id"], one["viewer_id"]) for one in looked] == [
        (kind, made["share_id"], sharers.viewer(database, child))
        for kind in ("export", "track", "locations", "location")
    ]
    newest = (await mine.ask(f"{path}/lookups", limit=1)).body["lookups"]
    assert [one["share_id"] for one in newest] == [None]


async def _shown(
    url: Any, token: str, students: Sequence[int]
) -> tuple[set[tuple[int, str]], set[bytes]]:
    """Which doors of which students open, and what the others say."""
    opened, refusals = set[tuple[int, str]](), set[bytes]()
    async with aiohttp.ClientSession(url, headers={"Authorization": f"Bearer {token}"}) as session:
        for student, door in itertools.product(students, DOORS):
            async with session.get(f"/v1/students/{student}/{door}") as answer:
                if answer.status == 404:
                    refusals.add(await answer.read())
                else:
                    opened.add((student, door))
    return opened, refusals


@pytest.mark.parametrize("module", ["geoingest", "tests.broken.generous_shares"])
async def test_a_share_shows_nothing_else(
    database: conftest.Database,
    primary: conftest.Running,
    school: list[provision.Enrolled],
    child: provision.Enrolled,
    module: str,
) -> None:
    """No other student, and none of the other doors, which look as those of a student who is not there.

    The same check finds a build that shows by a share what its maker sees.
    """
    made = await sharers.made(primary, child)
    students = [*(one.student_id for one in school), 10**9]

    async with processes.serving(database, module=module, DATABASE_REPLICA_URL="") as service:
        opened, refusals = await _shown(service.url, made["token"], students)

    more = {"days", "lookups"} if module != "geoingest" else set()
    assert opened == {(child.student_id, door) for door in BY_SHARE | more}
    assert len(refusals) == 1


async def test_a_share_makes_and_ends_none(
    primary: conftest.Running, database: conftest.Database, child: provision.Enrolled
) -> None:
    """Not even itself; nor does it name students beside its own."""
    made = await sharers.made(primary, child)
    token = made["token"]

    answers = [
        await sharers.make(primary, token, child.student_id),
        await sharers.send(primary, token, "DELETE", f"/v1/shares/{made['share_id']}"),
        await sharers.send(primary, token, "GET", "/v1/locations?student_id=1&student_id=2"),
    ]

    assert [one.status for one in answers] == [404] * 3
    assert database.query("SELECT count(*) FROM shares WHERE revoked_at IS NULL") == [(1,)]


@pytest.mark.parametrize(
    ("body", "hours"),
    [
        ({}, 24.0),
        ({"hours": 720}, 720.0),
        ({"hours": 0.5}, 0.5),
        ({"ends_at": (guardians.NOW + 5 * HOUR).isoformat()}, 5.0),
    ],
)
async def test_a_share_ends_when_it_is_told_to(
    primary: conftest.Running, child: provision.Enrolled, body: dict[str, Any], hours: float
) -> None:
    """After so many hours, or at an instant; after a day unless said otherwise; not in any cache on the way."""
    answer = await sharers.make(primary, child.viewer_token, child.student_id, **body)

    assert (answer.status, answer.headers["Cache-Control"]) == (201, "no-store")
    assert set(answer.body) == {"share_id", "token", "ends_at"}
    ends_at = guardians.instant(answer.body, "ends_at")
    lasts = ends_at - guardians.NOW
    assert abs(lasts - hours * HOUR) < datetime.timedelta(minutes=5)
    if "ends_at" in body:
        assert ends_at == guardians.NOW + hours * HOUR


async def test_shares_are_listed_for_who_sees_the_student(
    primary: conftest.Running,
    database: conftest.Database,
    school: list[provision.Enrolled],
    child: provision.Enrolled,
) -> None:
    """Those that have not ended, whoever made them, never a token; strangers learn nothing."""
    with db.direct(database.url) as connection:
        other_id, other = provision.add_viewer(connection, [child.student_id])
    mine = await sharers.made(primary, child)
    theirs = (await sharers.make(primary, other, child.student_id, hours=1)).body
    ended, revoked = [await sharers.made(primary, child) for _ in range(2)]
    database.query("UPDATE shares SET ends_at = now() WHERE share_id = $1", ended["share_id"])
    path = f"/v1/shares/{revoked['share_id']}"
    assert (await sharers.send(primary, other, "DELETE", path)).status == 204
    path = f"/v1/students/{child.student_id}/shares"

    answers = [await sharers.send(primary, one, "GET", path) for one in (child.viewer_token, other)]
    stranger = await sharers.send(primary, school[1].viewer_token, "GET", path)

    assert {one.raw for one in answers} == {answers[0].raw}
    listed = answers[0].body["shares"]
    assert [(one["share_id"], one["viewer_id"], one["ends_at"]) for one in listed] == [
        (mine["share_id"], sharers.viewer(database, child), mine["ends_at"]),
        (theirs["share_id"], other_id, theirs["ends_at"]),
    ]
    assert set(listed[0]) == {"share_id", "viewer_id", "created_at", "ends_at"}
    assert stranger.status == 404
    assert b"gi_share_" not in answers[0].raw
    assert [
        await sharers.status(primary, one["token"], child.student_id) for one in (mine, ended)
    ] == [
        200,
        401,
    ]


async def test_who_may_end_a_share(
    primary: conftest.Running,
    database: conftest.Database,
    school: list[provision.Enrolled],
    child: provision.Enrolled,
) -> None:
    """Its maker, even one who sees the student no more; who sees the student in full; an admin. Twice is no mistake."""
    with db.direct(database.url) as connection:
        _, other = provision.add_viewer(connection, [child.student_id])
        admin_id, admin = provision.add_viewer(connection, [school[1].student_id])
        limited_id, limited = provision.add_viewer(connection, [child.student_id])
    database.query("UPDATE viewers SET role = 'admin' WHERE viewer_id = $1", admin_id)
    database.query(
        "UPDATE guardianships SET school_hours_only = TRUE WHERE viewer_id = $1", limited_id
    )
    made = [await sharers.made(primary, child) for _ in range(4)]
    paths = [f"/v1/shares/{one['share_id']}" for one in made]

    async def end(token: str, path: str) -> int:
        return (await sharers.send(primary, token, "DELETE", path)).status

    refused = [await end(one, paths[0]) for one in (school[1].viewer_token, limited)]
    by = [await end(one, path) for one, path in zip((other, admin), paths, strict=False)]
    database.query("UPDATE guardianships SET valid_until = now() WHERE student_id = 1")
    by_maker = [await end(child.viewer_token, paths[2]) for _ in range(2)]

    assert (refused, by, by_maker) == ([404, 404], [204, 204], [204, 204])
    ended = database.query("SELECT share_id FROM shares WHERE revoked_at IS NOT NULL ORDER BY 1")
    assert ended == [(one["share_id"],) for one in made[:3]]


async def test_who_sees_school_hours_only_shares_nothing(
    primary: conftest.Running, database: conftest.Database, child: provision.Enrolled
) -> None:
    """Though the school is open and the student is shown: it is not the whole that could be handed on."""
    database.query(
        "INSERT INTO schools (school_id, opens_at, closes_at, weekdays)"
        " VALUES (1, '00:00', '24:00', '{1,2,3,4,5,6,7}')"
    )
    database.query("UPDATE students SET school_id = 1")
    database.query("UPDATE guardianships SET school_hours_only = TRUE")
    guardians.store(database, child.student_id, datetime.datetime.now(datetime.UTC))
    path = f"/v1/students/{child.student_id}/shares"

    sees = await sharers.status(primary, child.viewer_token, child.student_id)
    made = await sharers.make(primary, child.viewer_token, child.student_id)
    listed = await sharers.send(primary, child.viewer_token, "GET", path)

    assert sees == 200
    assert (made.status, listed.status) == (404, 404)
    assert database.query("SELECT count(*) FROM shares") == [(0,)]


async def test_a_share_reaches_back_for_a_day(
    primary: conftest.Running, database: conftest.Database, child: provision.Enrolled
) -> None:
    """What was before is its maker's to see: pings, hours and days; also where hours would be too many."""
    before = [guardians.ago(hours=hours) for hours in (50, 49, 48)]
    since = [guardians.ago(hours=hours) for hours in (6, 5, 4)]
    guardians.store(database, child.student_id, *before, *since)
    rollups.roll(database, guardians.ago(hours=1))
    _enforce(database)
    made = await sharers.made(primary, child)
    window = {"from": guardians.ago(days=4).isoformat()}

    async def ask(token: str, **parameters: Any) -> tuple[str, int]:
        guardian = guardians.Guardian(primary, token)
        path = f"/v1/students/{child.student_id}/track"
        body = (await guardian.ask(path, **window, **parameters)).body
        return body["resolution"], len(body["points"])

    asked: list[dict[str, Any]] = [
        {"resolution": "raw"},
        {"resolution": "hour"},
        {"resolution": "day"},
        {"limit": 1},
    ]
    whole = [await ask(child.viewer_token, **one) for one in asked]
    shared = [await ask(made["token"], **one) for one in asked]

    days = whole[2][1]
    assert whole == [("raw", 7), ("hour", 6), ("day", days), ("day", 1)]
    assert days >= 2
    assert shared == [("raw", 4), ("hour", 3), ("day", 0), ("hour", 1)]


async def test_a_share_ends_with_its_makers_view(
    database: conftest.Database, start: conftest.Start, child: provision.Enrolled
) -> None:
    """At once, at two services that have just shown the student: with guardianship, viewer and student."""
    settings = database.settings(database_replica_url="")
    both = [await start(settings), await start(settings)]
    made = await sharers.made(both[0], child)

    async def statuses() -> list[int]:
        return [await sharers.status(one, made["token"], child.student_id) for one in both]

    shown = await statuses()
    database.query("UPDATE guardianships SET consent_until = now() WHERE student_id = 1")
    hidden = await statuses()
    database.query("UPDATE guardianships SET consent_until = 'infinity'")
    again = await statuses()
    database.query("UPDATE viewers SET revoked_at = now()")
    gone = await statuses()

    assert (shown, hidden, again, gone) == ([200] * 2, [404] * 2, [200] * 2, [401] * 2)


async def test_what_one_process_ends_no_other_shows(
    database: conftest.Database, primary: conftest.Running, child: provision.Enrolled
) -> None:
    """Two processes have it in memory; one is told to end it; the next question to either is refused."""
    made = await sharers.made(primary, child)
    path = f"/v1/students/{child.student_id}/location"
    as_friend = {"Authorization": f"Bearer {made['token']}"}
    as_maker = {"Authorization": f"Bearer {child.viewer_token}"}
    async with (
        processes.serving(database) as one,
        processes.serving(database) as other,
        aiohttp.ClientSession() as session,
    ):

        async def statuses() -> list[int]:
            found = []
            for service in (one, other):
                async with session.get(service.url + path, headers=as_friend) as answer:
                    found.append(answer.status)
            return found

        async with asyncio.timeout(20):
            # The replica has to hear of it first.
            while (shown := await statuses()) != [200, 200]:
                await asyncio.sleep(0.05)
        end = f"{one.url}/v1/shares/{made['share_id']}"
        async with session.delete(end, headers=as_maker) as answer:
            assert answer.status == 204
        ended = await statuses()

    assert (shown, ended) == ([200, 200], [401, 401])


async def _dumped(servers: cluster.Cluster, database: conftest.Database) -> str:
    program = str(servers.programs / "pg_dump")
    child = await asyncio.create_subprocess_exec(
        program, "--dbname", database.url, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await child.communicate()
    assert child.returncode == 0
    return out.decode()


async def test_no_token_of_a_share_is_told_twice(
    database: conftest.Database, servers: cluster.Cluster, child: provision.Enrolled
) -> None:
    """Not by logs, metrics, later answers, what is exported of the student, or a dump, which holds its SHA-256."""
    logs = _Logs(servers)
    answers = ""
    async with (
        processes.serving(
            database, GEOINGEST_LOG_LEVEL="debug", DATABASE_REPLICA_URL=""
        ) as service,
        aiohttp.ClientSession(service.url) as session,
    ):
        path = f"/v1/students/{child.student_id}"
        mine = {"Authorization": f"Bearer {child.viewer_token}"}
        async with session.post(f"{path}/shares", headers=mine) as answer:
            token = (await answer.json())["token"]
        friend = {"Authorization": f"Bearer {token}"}
        for headers, door in itertools.product((friend, mine), DOORS):
            async with session.get(f"{path}/{door}", headers=headers) as answer:
                answers += f"{answer.headers}{await answer.text()}"
        async with session.get(f"{service.admin_url}/metrics") as answer:
            answers += await answer.text()
        service.terminate()
        assert await service.ended() == 0
        answers += service.output()
    dump = await _dumped(servers, database)

    everything = answers + logs.text() + dump
    assert token.startswith("gi_share_")
    assert token[len("gi_share_") :] not in everything
    assert tokens.digest(token).hex() not in answers + logs.text()
    assert tokens.digest(token).hex() in dump


async def test_shares_by_hand(
    primary: conftest.Running, database: conftest.Database, child: provision.Enrolled
) -> None:
    """`geoingest share list` and `revoke`: numbers and instants, no token; a typo is named."""
    made = [await sharers.made(primary, child) for _ in range(2)]

    before = commands.run("share", "list", "--student", "1", database=database)
    ended = commands.run("share", "revoke", str(made[0]["share_id"]), database=database)
    after = commands.run("share", "list", "--student", "1", database=database)
    unknown = commands.run("share", "revoke", "777", database=database)

    assert [one.split()[0] for one in before.stdout.splitlines()] == ["share", "1", "2"]
    assert (ended.exit_code, ended.stdout) == (0, "")
    assert [one.split()[0] for one in after.stdout.splitlines()] == ["share", "2"]
    assert (unknown.exit_code, unknown.stderr) == (1, "geoingest: there is no share 777\n")
    assert "gi_share_" not in before.stdout
    assert await sharers.status(primary, made[0]["token"], child.student_id) == 401


def test_what_has_long_ended_is_forgotten(
    database: conftest.Database, child: provision.Enrolled
) -> None:
    """With who looked by it, after a year; what may still be asked for stays."""
    now = guardians.NOW
    for number, age_days in enumerate((400, 366, 364, 0)):
        database.query(
            "INSERT INTO shares (student_id, viewer_id, token_digest, created_at, ends_at)"
            " VALUES (1, $1, sha256($2), $3, $3)",
            sharers.viewer(database, child),
            str(number).encode(),
            now - datetime.timedelta(days=age_days),
        )

    with db.direct(database.url) as connection:
        first = lifecycle_shares.run_once(connection, database.settings(), now)
        second = lifecycle_shares.run_once(connection, database.settings(), now)

    assert [str(one) for one in (first, second)] == ["2 shares gone", "0 shares gone"]
    assert database.query("SELECT count(*) FROM shares") == [(2,)]
