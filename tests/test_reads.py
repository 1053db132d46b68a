"""A guardian's question is answered from the replica, with how current the answer is."""

from __future__ import annotations

import asyncio
import contextlib
import datetime

import psycopg
import pytest

from geoingest import db
from geoingest.access import provision
from geoingest.access import tokens as access_tokens
from geoingest.tracking import parameters
from tests import conftest, guardians

MEASURES = ("accuracy", "altitude", "speed", "course", "battery", "received_at")
POINT = {"device_id", "timestamp", "latitude", "longitude", *MEASURES}


@pytest.fixture
def everyone(database: conftest.Database, school: list[provision.Enrolled]) -> str:
    """The token of a viewer who sees all students."""
    with db.direct(database.url) as connection:
        return provision.add_viewer(connection, None)[1]


async def test_the_replica_answers_and_is_complete_up_to_as_of(
    database: conftest.Database, start: conftest.Start, school: list[provision.Enrolled]
) -> None:
    """An answer names the replica as its source and misses nothing committed before its as_of."""
    await conftest.until(lambda: _is_replicated(database))
    running = await start(database.settings())
    student = school[0].student_id
    guardian = guardians.Guardian(running, school[0].viewer_token)
    path = f"/v1/students/{student}/location"
    await conftest.until(lambda: running.service.replica.in_use)

    for second in range(10):
        guardians.store(database, student, guardians.ago(seconds=100 - second))
        committed_at = datetime.datetime.now(datetime.UTC)
        async with asyncio.timeout(10):
            answer = await guardian.ask(path)
            while answer.status == 404 or guardians.instant(answer.body, "as_of") < committed_at:
                answer = await guardian.ask(path)

        assert answer.body["source"] == "replica"
        assert guardians.instant(answer.body) == guardians.ago(seconds=100 - second)


def _is_replicated(database: conftest.Database) -> bool:
    with contextlib.suppress(psycopg.OperationalError), psycopg.connect(database.replica_url):
        return True
    return False


async def test_every_answer_has_its_shape_and_stays_in_no_cache(
    primary: conftest.Running, database: conftest.Database, school: list[provision.Enrolled]
) -> None:
    """Location, locations and track hold the promised members, as_of and source among them."""
    asked_at = datetime.datetime.now(datetime.UTC)
    student = school[0].student_id
    guardian = guardians.Guardian(primary, school[0].viewer_token)
    guardians.store(database, student, guardians.ago(minutes=2), guardians.ago(minutes=1))

    location = await guardian.ask(f"/v1/students/{student}/location")
    locations = await guardian.ask("/v1/locations")
    track = await guardian.ask(f"/v1/students/{student}/track")

    assert set(location.body) == {"student_id", *POINT, "as_of", "source"}
    assert location.body["timestamp"] == guardians.ago(minutes=1).isoformat().replace("+00:00", "Z")
    assert (location.body["student_id"], location.body["battery"]) == (student, 50)
    assert set(locations.body) == {"locations", "as_of", "source"}
    assert [set(one) for one in locations.body["locations"]] == [{"student_id", *POINT}]
    assert set(track.body) == {"student_id", "resolution", "points", "next", "as_of", "source"}
    assert (track.body["resolution"], track.body["next"]) == ("raw", None)
    assert [set(one) for one in track.body["points"]] == [POINT] * 2
    assert [guardians.instant(one) for one in track.body["points"]] == [
        guardians.ago(minutes=2),
        guardians.ago(minutes=1),
    ]
    for answer in (location, locations, track):
        assert (answer.status, answer.body["source"]) == (200, "primary")
        assert datetime.datetime.fromisoformat(answer.body["as_of"]) >= asked_at
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Content-Type"].startswith("application/json")


async def test_the_newest_ping_is_found_however_old_or_fast_a_clock_is(
    primary: conftest.Running, database: conftest.Database, everyone: str
) -> None:
    """A phone five minutes ahead, one silent for weeks, and students without a position left out."""
    guardians.store(database, 1, guardians.ago(minutes=-5), guardians.ago(minutes=3))
    guardians.store(database, 2, guardians.ago(days=60), guardians.ago(days=40))
    guardians.store(database, 3, guardians.ago(minutes=1), device_id=2)
    guardian = guardians.Guardian(primary, everyone)

    all_seen = await guardian.ask("/v1/locations")
    some = await guardian.ask("/v1/locations", student_id=[3, 2, 3])
    alone = [await guardian.ask(f"/v1/students/{one}/location") for one in (1, 2, 3)]

    newest = {1: guardians.ago(minutes=-5), 2: guardians.ago(days=40), 3: guardians.ago(minutes=1)}
    assert [(one["student_id"], guardians.instant(one)) for one in all_seen.body["locations"]] == [
        *newest.items()
    ]
    assert [one["student_id"] for one in some.body["locations"]] == [2, 3]
    assert {one.body["student_id"]: guardians.instant(one.body) for one in alone} == newest


async def test_foreign_and_unknown_students_look_alike(
    primary: conftest.Running, database: conftest.Database, school: list[provision.Enrolled]
) -> None:
    """Nobody learns from an answer which students there are."""
    guardian = guardians.Guardian(primary, school[0].viewer_token)
    foreign = school[1].student_id
    guardians.store(database, foreign, guardians.ago(minutes=1))
    others = (foreign, 10**9, 2**63 - 1, 2**63, 10**40, 0)

    answers = [
        await guardian.ask(f"/v1/students/{one}/{what}")
        for one in others
        for what in ("location", "track")
    ]
    answers += [
        await guardian.ask("/v1/locations", student_id=[school[0].student_id, one])
        for one in others[:3]
    ]

    assert {(one.status, one.raw) for one in answers} == {(404, answers[0].raw)}
    assert answers[0].body["reason"] == "not_found"


async def test_a_visible_student_without_a_ping_has_no_position(
    primary: conftest.Running, school: list[provision.Enrolled]
) -> None:
    """404 with a reason of its own for the location; the lists are empty."""
    guardian = guardians.Guardian(primary, school[0].viewer_token)
    student = school[0].student_id

    location = await guardian.ask(f"/v1/students/{student}/location")
    locations = await guardian.ask("/v1/locations")
    track = await guardian.ask(f"/v1/students/{student}/track")

    assert (location.status, location.body["reason"]) == (404, "no_position")
    assert (locations.status, locations.body["locations"]) == (200, [])
    assert (track.status, track.body["points"], track.body["next"]) == (200, [], None)


async def test_who_has_no_viewers_token_is_told_nothing(
    primary: conftest.Running, database: conftest.Database, school: list[provision.Enrolled]
) -> None:
    """Unknown and revoked viewers, and devices: 401 on every read, also of students not there."""
    database.query(
        "UPDATE viewers SET revoked_at = now() WHERE token_digest = $1",
        access_tokens.digest(school[0].viewer_token),
    )
    tokens = (school[0].viewer_token, school[0].device_token, "gi_view_unknown", "")
    paths = [
        f"/v1/students/{one}/{what}"
        for one in (school[0].student_id, 10**9)
        for what in ("location", "track")
    ]

    for token in tokens:
        guardian = guardians.Guardian(primary, token)
        answers = [await guardian.ask(path) for path in [*paths, "/v1/locations"]]

        assert {(one.status, one.raw) for one in answers} == {(401, answers[0].raw)}
        assert {one.headers["WWW-Authenticate"] for one in answers} == {"Bearer"}


async def test_as_many_students_as_promised_fit_into_one_question(
    primary: conftest.Running, everyone: str
) -> None:
    """The longest list that openapi.json allows is answered; one more is refused by name."""
    guardian = guardians.Guardian(primary, everyone)
    longest = [2**63 - 1 - one for one in range(parameters.MOST_STUDENTS)]

    answers = [
        await guardian.ask("/v1/locations", student_id=students)
        for students in (longest, [*longest, 1])
    ]

    assert [one.headers["Content-Type"] for one in answers] == ["application/problem+json"] * 2
    assert [(one.status, one.body["reason"]) for one in answers] == [
        (404, "not_found"),
        (400, "bad_query"),
    ]


async def test_an_answer_is_never_cut_silently(
    primary: conftest.Running, database: conftest.Database, everyone: str
) -> None:
    """All of 3,500 students fit into one answer; who may see more than fit is told to name some."""
    guardian = guardians.Guardian(primary, everyone)
    add = "INSERT INTO students (student_id) SELECT generate_series(11, $1::bigint)"
    seen = "INSERT INTO geolocation_data (student_id, latitude, longitude, device_id,"
    seen += ' "timestamp", received_at) SELECT student_id, 1, 2, 3, now(), now() FROM students'
    database.query(add, 3500)
    database.query(seen)

    school = await guardian.ask("/v1/locations")
    database.query("TRUNCATE students CASCADE")
    database.query(add, 100_000)
    city = await guardian.ask("/v1/locations")

    assert (school.status, len(school.body["locations"])) == (200, 3500)
    assert (city.status, city.body["reason"]) == (400, "bad_query")
