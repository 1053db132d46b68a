"""Each answer about a student is one row on record, and who may see the student may read who looked."""

from __future__ import annotations

import datetime
import re
from typing import Any

import aiohttp
import orjson
import pytest

from geoingest import db
from geoingest.access import provision, tokens
from geoingest.api import document
from geoingest.tracking import formats
from tests import conftest, guardians

_PLACELESS = re.compile(
    r"/v1/(me|schools|classes|sessions|shares|logout|password|admin)\b|/shares$"
)
DAY_START = guardians.ago(days=1)
WINDOW = {"from": DAY_START.isoformat(), "to": guardians.NOW.isoformat()}


@pytest.fixture
def child(database: conftest.Database, school: list[provision.Enrolled]) -> provision.Enrolled:
    """A student with three pings, and others."""
    instants = [guardians.ago(minutes=minutes) for minutes in (1, 2, 3)]
    guardians.store(database, school[0].student_id, *instants)
    return school[0]


def _recorded(database: conftest.Database) -> list[tuple[object, ...]]:
    return database.query(
        "SELECT viewer_id, student_id, kind, window_from, window_to, rows FROM lookups"
        " ORDER BY looked_at, lookup_id"
    )


def _viewer(database: conftest.Database, student: provision.Enrolled) -> object:
    query = "SELECT viewer_id FROM guardianships WHERE student_id = $1"
    return database.query(query, student.student_id)[0][0]


async def test_each_answer_is_one_row(
    primary: conftest.Running, database: conftest.Database, child: provision.Enrolled
) -> None:
    """Who, whose, what, the window that was asked for, and how many rows were shown; of a file none is said."""
    guardian = guardians.Guardian(primary, child.viewer_token)
    path = f"/v1/students/{child.student_id}"
    day = DAY_START.date().isoformat()

    answers = [
        await guardian.ask(f"{path}/location"),
        await guardian.ask(f"{path}/track", **WINDOW, limit=2),
        await guardian.ask(f"{path}/track", accept="application/geo+json", **WINDOW),
        await guardian.ask(f"{path}/track", accept=formats.CSV.content_type, **WINDOW),
        await guardian.ask(f"{path}/days", **{"from": day, "to": day}),
        await guardian.ask(f"{path}/lookups", **WINDOW),
        await guardian.ask("/v1/locations"),
    ]

    assert [one.status for one in answers] == [200] * 7
    who, window = (_viewer(database, child), child.student_id), (DAY_START, guardians.NOW)
    midnight = DAY_START.replace(hour=0, minute=0, second=0)
    whole = (midnight, midnight + datetime.timedelta(days=1) - datetime.timedelta(microseconds=1))
    # NOW is when the tests began, so that nothing was on record before it.
    assert _recorded(database) == [
        (*who, "location", None, None, 1),
        (*who, "track", *window, 2),
        (*who, "track", *window, 3),
        (*who, "export", *window, None),
        (*who, "days", *whole, 0),
        (*who, "lookups", *window, 0),
        (*who, "locations", None, None, 1),
    ]


async def test_all_students_of_an_answer_are_on_record_in_one_commit(
    primary: conftest.Running, database: conftest.Database, child: provision.Enrolled
) -> None:
    """One row for each, also for those of whom is told that they have no position."""
    with db.direct(database.url) as connection:
        viewer_id, everyone = provision.add_viewer(connection, None)

    answer = await guardians.Guardian(primary, everyone).ask("/v1/locations")

    assert len(answer.body["locations"]) == 1
    students = {one[0] for one in database.query("SELECT student_id FROM students")}
    assert {row[:3]: row[-1] for row in _recorded(database)} == {
        (viewer_id, one, "locations"): int(one == child.student_id) for one in students
    }
    assert database.query("SELECT count(*), count(DISTINCT xmin::text) FROM lookups") == [(10, 1)]


async def test_that_there_is_no_position_is_an_answer(
    primary: conftest.Running, database: conftest.Database, school: list[provision.Enrolled]
) -> None:
    """404 no_position tells something of a child, so it is on record with no rows."""
    guardian = guardians.Guardian(primary, school[1].viewer_token)

    answer = await guardian.ask(f"/v1/students/{school[1].student_id}/location")

    assert (answer.status, answer.body["reason"]) == (404, "no_position")
    assert [(row[2], row[-1]) for row in _recorded(database)] == [("location", 0)]


async def test_who_is_shown_nothing_leaves_no_row(
    primary: conftest.Running,
    database: conftest.Database,
    school: list[provision.Enrolled],
    child: provision.Enrolled,
) -> None:
    """Strangers, unknown students, no token, a device's, and questions that make no sense."""
    stranger = guardians.Guardian(primary, school[1].viewer_token)
    device = guardians.Guardian(primary, child.device_token)
    guardian = guardians.Guardian(primary, child.viewer_token)
    paths = [
        f"/v1/students/{student}/{what}"
        for student in (child.student_id, 10**9)
        for what in ("location", "track", "days", "lookups")
    ]

    answers = [await stranger.ask(path) for path in paths]
    answers += [await device.ask(path) for path in [*paths, "/v1/locations"]]
    answers += [await stranger.ask("/v1/locations", student_id=child.student_id)]
    for path, wrong in (
        ("track", {"limit": 0}),
        ("days", {"from": "x"}),
        ("lookups", {"limit": 1001}),
        ("lookups", {"cursor": "AAAA"}),
        ("lookups", {"resolution": "raw"}),
        ("lookups", {"from": WINDOW["to"], "to": WINDOW["from"]}),
    ):
        answer = await guardian.ask(f"/v1/students/{child.student_id}/{path}", **wrong)
        assert answer.status == 400
        answers.append(answer)

    assert {one.status for one in answers} == {400, 401, 404}
    assert _recorded(database) == []


async def test_no_route_of_viewers_forgets_to_record(
    primary: conftest.Running, database: conftest.Database, child: provision.Enrolled
) -> None:
    """Whatever the document says that a viewer may ask leaves a row when it is answered."""
    guardian = guardians.Guardian(primary, child.viewer_token)
    asked = 0

    for path, methods in orjson.loads(document.document())["paths"].items():
        for operation in methods.values():
            # Who may look, and where somebody is not: of that there is nothing to record.
            if operation["security"] == [{"viewer": []}] and not _PLACELESS.search(path):
                for accept in operation["responses"]["200"]["content"]:
                    where = path.format(student_id=child.student_id)
                    assert (await guardian.ask(where, accept=accept)).status == 200
                    asked += 1
                    assert len(_recorded(database)) == asked, path

    assert asked >= 9


async def test_the_record_holds_no_place_and_no_token(
    primary: conftest.Running, database: conftest.Database, child: provision.Enrolled
) -> None:
    """Numbers, words of ours and instants, whatever was asked and shown."""
    guardian = guardians.Guardian(primary, child.viewer_token)
    for what in ("location", "track", "days", "lookups"):
        await guardian.ask(f"/v1/students/{child.student_id}/{what}")

    text = "".join(str(row) for row in database.query("SELECT lookups::text FROM lookups"))
    columns = database.query(
        "SELECT DISTINCT data_type FROM information_schema.columns WHERE table_name = 'lookups'"
    )

    digest = tokens.digest(child.viewer_token).hex()
    assert text.count("(") == 2 * 4
    assert [one for one in ("52.5", "13.4", child.viewer_token, digest) if one in text] == []
    assert {one for (one,) in columns} == {
        "bigint",
        "integer",
        "text",
        "timestamp with time zone",
    }


async def test_who_looked_is_read_newest_first_page_by_page(
    primary: conftest.Running, database: conftest.Database, child: provision.Enrolled
) -> None:
    """Pages lose and double none while they themselves go on record; other guardians are seen by their number."""
    with db.direct(database.url) as connection:
        other_id, other = provision.add_viewer(connection, [child.student_id])
    for token in (child.viewer_token, other) * 6:
        viewer = guardians.Guardian(primary, token)
        await viewer.ask(f"/v1/students/{child.student_id}/location")
    # Many of one instant, as one commit has them.
    database.query(
        "INSERT INTO lookups (viewer_id, student_id, kind, rows)"
        " SELECT $1, $2, 'days', one FROM generate_series(1, 9) AS one",
        other_id,
        child.student_id,
    )
    expected = _recorded(database)[::-1]
    guardian, path = guardians.Guardian(primary, other), f"/v1/students/{child.student_id}/lookups"

    pages = [(await guardian.ask(path, limit=4)).body]
    while pages[-1]["next"]:
        pages.append((await guardian.ask(path, limit=4, cursor=pages[-1]["next"])).body)

    found = [one for page in pages for one in page["lookups"]]
    assert [(one["viewer_id"], one["kind"], one["rows"]) for one in found] == [
        (row[0], row[2], row[5]) for row in expected
    ]
    assert [len(page["lookups"]) for page in pages] == [4] * 5 + [1]
    assert set(pages[0]) == {"student_id", "lookups", "next", "as_of", "source"}
    assert set(found[0]) == {
        "viewer_id",
        "share_id",
        "kind",
        "from",
        "to",
        "rows",
        "looked_at",
    }
    newest = (await guardian.ask(path, limit=6)).body["lookups"]
    assert [(one["kind"], one["rows"]) for one in newest] == [
        ("lookups", rows) for rows in (1, 4, 4, 4, 4, 4)
    ]


async def test_a_window_of_look_ups(
    primary: conftest.Running, database: conftest.Database, child: provision.Enrolled
) -> None:
    """Start included, end excluded, and nothing from before what is kept, even before the job has been there."""
    instants = [guardians.ago(days=days) for days in (366, 300, 200, 100)]
    database.query(
        "INSERT INTO lookups (viewer_id, student_id, kind, rows, looked_at)"
        " SELECT 1, $1, 'days', 0, one FROM unnest($2::timestamptz[]) AS one",
        child.student_id,
        instants,
    )
    guardian = guardians.Guardian(primary, child.viewer_token)

    async def ask(**window: datetime.datetime) -> list[datetime.datetime]:
        query: dict[str, Any] = {name: one.isoformat() for name, one in window.items()}
        answer = await guardian.ask(f"/v1/students/{child.student_id}/lookups", **query)
        return [guardians.instant(one, "looked_at") for one in answer.body["lookups"]]

    middle = await ask(**{"from": instants[1], "to": instants[3]})
    early = await ask(**{"from": instants[0], "to": instants[2]})
    before_all = await ask(to=instants[0])

    assert middle == [instants[2], instants[1]]
    assert early == [instants[1]]
    assert before_all == []


async def test_the_furthest_windows_are_on_record(
    primary: conftest.Running, child: provision.Enrolled
) -> None:
    """The first and the last instants there are can be asked for, recorded, and read back."""
    guardian = guardians.Guardian(primary, child.viewer_token)
    path = f"/v1/students/{child.student_id}"
    ends = {"from": "0001-01-01T00:00:00Z", "to": "9999-12-31T23:59:59.999999Z"}
    dates = {"from": "0001-01-01", "to": "9999-12-31"}

    statuses = [
        (await guardian.ask(f"{path}/track", **ends)).status,
        (await guardian.ask(f"{path}/days", **dates)).status,
        (await guardian.ask(f"{path}/lookups", **ends)).status,
    ]
    answer = await guardian.ask(f"{path}/lookups")

    assert statuses == [200] * 3
    assert [(one["from"], one["to"]) for one in answer.body["lookups"]] == [
        (ends["from"], ends["to"])
    ] * 3


async def test_a_file_is_on_record_before_its_first_byte(
    primary: conftest.Running, database: conftest.Database, child: provision.Enrolled
) -> None:
    """Who has its headers is on record, whatever becomes of the rest; its pages add nothing."""
    guardians.store(
        database, child.student_id, *(guardians.ago(seconds=one) for one in range(600, 3600))
    )
    headers = {
        "Authorization": f"Bearer {child.viewer_token}",
        "Accept": formats.CSV.content_type,
    }
    path = f"/v1/students/{child.student_id}/track?resolution=raw"

    async with primary.client.get(path, headers=headers) as file:
        at_first = _recorded(database)
        lines = (await file.text()).splitlines()

    assert [(row[2], row[-1]) for row in at_first] == [("export", None)]
    assert len(lines) == 1 + 3003
    assert _recorded(database) == at_first


async def test_what_cannot_be_recorded_is_not_shown(
    primary: conftest.Running, database: conftest.Database, child: provision.Enrolled
) -> None:
    """503 with the reason and Retry-After, not a byte of the answer; then again 200."""
    guardian = guardians.Guardian(primary, child.viewer_token)
    path = f"/v1/students/{child.student_id}"
    asked = (
        f"{path}/location",
        f"{path}/track",
        f"{path}/days",
        f"{path}/lookups",
        "/v1/locations",
    )
    database.query("ALTER TABLE lookups ADD CONSTRAINT closed CHECK (FALSE) NOT VALID")

    refused = [await guardian.ask(one) for one in asked]
    refused.append(await guardian.ask(f"{path}/track", accept=formats.CSV.content_type))
    database.query("ALTER TABLE lookups DROP CONSTRAINT closed")
    answered = [await guardian.ask(one) for one in asked]

    assert {(one.status, one.body["reason"]) for one in refused} == {(503, "not_recorded")}
    assert all(aiohttp.hdrs.RETRY_AFTER in one.headers for one in refused)
    assert all(b"52.5" not in one.raw for one in refused)
    assert [one.status for one in answered] == [200] * 5
    assert len(_recorded(database)) == 5
