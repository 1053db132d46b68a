"""The directory is put in whole bodies: what a line says is so, what none names stays, and a bad line stops all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests import conftest, directories


@pytest.fixture
def admin(database: conftest.Database, running: conftest.Running) -> directories.Admin:
    """Somebody who may."""
    return directories.admin(database, running)


@pytest.mark.parametrize("write", [directories.ndjson, directories.table])
async def test_each_kind_is_added_and_then_unchanged(
    admin: directories.Admin,
    database: conftest.Database,
    write: Callable[[directories.Lines], bytes],
) -> None:
    """As NDJSON and as CSV alike; who is named twice is one; again nothing changes, not even a row's version."""
    content_type = directories.NDJSON if write is directories.ndjson else directories.CSV
    named = {
        kind: len({one["external_id"] for one in directories.ALL[kind]}) for kind in directories.ALL
    }

    first = {
        kind: await admin.send(kind, write(lines), content_type)
        for kind, lines in directories.ALL.items()
    }
    versions = _versions(database)
    second = {
        kind: await admin.send(kind, write(lines), content_type)
        for kind, lines in directories.ALL.items()
    }

    for kind, lines in directories.ALL.items():
        counts = {"lines": len(lines), "added": 0, "changed": 0, "unchanged": 0}
        assert (first[kind].status, second[kind].status) == (200, 200), first[kind].raw
        assert first[kind].body == {**counts, "added": named[kind]}
        assert second[kind].body == {**counts, "unchanged": named[kind]}
    assert _versions(database) == versions
    assert directories.held(database) == {
        "schools": [
            ("north", "Europe/Berlin", "08:00:00", "13:00:00", [1, 2, 3, 4, 5], None),
            ("south", "UTC", None, None, [1, 2, 6], ["2026-12-24", "2026-12-25"]),
        ],
        "classes": [("1a", "north"), ("1b", "north"), ("2a", "south")],
        "students": [
            ("ann", "north", "1a"),
            ("ben", "north", "1b"),
            ("cleo", "south", None),
            ("dan", None, None),
        ],
        "viewers": [
            ("g1", "guardian", "g1@example.org", False, False),
            ("g2", "guardian", None, False, False),
            ("g3", "guardian", None, False, False),
            ("t1", "staff", None, False, False),
            ("t2", "staff", "t2@example.org", True, False),
            ("t3", "admin", None, False, False),
        ],
        "guardianships": [
            ("g1", "ann", "-infinity", "infinity", "infinity", False),
            ("g1", "ben", "-infinity", "infinity", "infinity", True),
            (
                *("g2", "ann", "2026-01-01 00:00:00+00"),
                *("2998-12-31 22:00:00+00", "2998-01-01 00:00:00+00", False),
            ),
        ],
        "scopes": [("t1", "north", "1a"), ("t1", "south", None)],
    }


def _versions(database: conftest.Database) -> list[tuple[object, ...]]:
    tables = ("schools", "school_holidays", "classes", "students", "viewers", "guardianships")
    return [
        row
        for table in (*tables, "staff_scopes")
        for row in database.query(f"SELECT ctid::text, xmin::text, xmax::text FROM {table}")  # noqa: S608  # our own words
    ]


async def test_what_a_line_leaves_out_is_empty_and_what_none_names_stays(
    admin: directories.Admin, database: conftest.Database
) -> None:
    """Hours, holidays, class, students, scopes; but for the e-mail, on which a password hangs."""
    await admin.fill()
    before = directories.held(database)

    answers = [
        await admin.put(kind, [line])
        for kind, line in {
            "schools": {"external_id": "south", "time_zone": "utc"},
            "students": {"external_id": "ben", "school": "north"},
            "guardians": {"external_id": "g1", "student": "ann"},
            "staff": {"external_id": "t1", "role": "staff", "school": "south"},
        }.items()
    ]

    assert [one.body["changed"] for one in answers] == [1] * 4
    after = directories.held(database)
    changes = {
        name: set(map(str, after[name])) ^ set(map(str, rows)) for name, rows in before.items()
    }
    assert {name: len(rows) for name, rows in changes.items()} == {
        "schools": 2,
        "classes": 0,
        "students": 2,
        "viewers": 0,
        "guardianships": 1,
        "scopes": 1,
    }
    assert ("south", "UTC", None, None, [1, 2, 3, 4, 5], None) in after["schools"]
    assert ("ben", "north", None) in after["students"]


async def test_an_e_mail_stays_changes_and_goes(
    admin: directories.Admin, database: conftest.Database
) -> None:
    """Left out it stays, null takes it away, and its password with it."""
    await admin.fill()
    database.query("UPDATE viewers SET password_hash = '$argon2id$x' WHERE external_id = 'g1'")
    found = []
    for change in ({}, {"email": "new@example.org"}, {"email": None}):
        await admin.put("guardians", [{"external_id": "g1", "student": "ann", **change}])
        query = "SELECT email, password_hash FROM viewers WHERE external_id = 'g1'"
        found += database.query(query)

    assert found == [
        ("g1@example.org", "$argon2id$x"),
        ("new@example.org", "$argon2id$x"),
        (None, None),
    ]


async def test_a_class_that_moves_takes_its_students_and_scopes_along(
    admin: directories.Admin, database: conftest.Database
) -> None:
    """To the other school, in one step."""
    await admin.fill()

    answer = await admin.put("classes", [{"external_id": "1a", "school": "south"}])

    assert answer.body == {"lines": 1, "added": 0, "changed": 1, "unchanged": 0}
    held = directories.held(database)
    assert ("ann", "south", "1a") in held["students"]
    assert ("t1", "south", "1a") in held["scopes"]


async def test_who_is_revoked_comes_back_only_when_a_line_says_so(
    admin: directories.Admin, database: conftest.Database
) -> None:
    """And then without token, password, sessions and shares of before."""
    await admin.fill()
    directories.viewer(database, "guardian", "g1")
    ((viewer_id, student_id),) = database.query(
        "SELECT viewer_id, min(student_id) FROM guardianships JOIN viewers USING (viewer_id)"
        " WHERE external_id = 'g1' GROUP BY viewer_id"
    )
    database.query(
        "INSERT INTO sessions (viewer_id, token_digest, idle_seconds, ends_at)"
        " VALUES ($1, sha256('a'), 60, now() + interval '1 day')",
        viewer_id,
    )
    database.query(
        "INSERT INTO shares (viewer_id, student_id, token_digest, ends_at)"
        " VALUES ($1, $2, sha256('b'), now() + interval '1 day')",
        viewer_id,
        student_id,
    )
    found = []
    for change in (
        {"revoked": True},
        {},
        {"revoked": None},
        {"revoked": False},
        {"revoked": False},
    ):
        answer = await admin.put("guardians", [{"external_id": "g1", "student": "ann", **change}])
        ((is_revoked,),) = database.query(
            "SELECT revoked_at IS NOT NULL FROM viewers WHERE external_id = 'g1'"
        )
        found.append((answer.body["changed"], is_revoked))

    assert found == [(1, True), (0, True), (0, True), (1, False), (0, False)]
    query = "SELECT token_digest, password_hash, email FROM viewers WHERE external_id = 'g1'"
    assert database.query(query) == [(None, None, "g1@example.org")]
    assert database.query("SELECT count(*) FROM sessions") == [(0,)]
    assert database.query("SELECT count(*) FROM shares WHERE revoked_at IS NULL") == [(0,)]


async def test_a_teacher_may_be_a_guardian(
    admin: directories.Admin, database: conftest.Database
) -> None:
    """One person, two lists: neither takes away what the other has said."""
    await admin.fill()
    terms = {"external_id": "t1", "student": "dan"}

    as_guardian = await admin.put("guardians", [terms])
    as_staff = await admin.put("staff", [{"external_id": "g2", "role": "staff", "class": "2a"}])
    refused = await admin.put("guardians", [{**terms, "revoked": True}])

    assert [one.body["changed"] for one in (as_guardian, as_staff)] == [1, 1]
    assert refused.body["bad_lines"] == [{"line": 1, "reason": "is_staff"}]
    held = directories.held(database)
    assert ("t1", "dan", "-infinity", "infinity", "infinity", False) in held["guardianships"]
    assert ("t1", "staff", None, False, False) in held["viewers"]
    assert ("g2", "south", "2a") in held["scopes"]
    assert [row[:2] for row in held["guardianships"] if row[0] == "g2"] == [("g2", "ann")]


async def test_numbers_that_the_platform_chose_are_stepped_around(
    admin: directories.Admin, database: conftest.Database
) -> None:
    """Students added by number are in nobody's way."""
    database.query("INSERT INTO students (student_id) VALUES (2), (3), (4), (7)")

    answer = await admin.put("students", [{"external_id": f"s{number}"} for number in range(5)])

    assert answer.body == {"lines": 5, "added": 5, "changed": 0, "unchanged": 0}
    assert database.query("SELECT count(*) FROM students") == [(9,)]


async def test_an_empty_body_changes_nothing(
    admin: directories.Admin, database: conftest.Database
) -> None:
    """Nor do empty lines, in either form."""
    await admin.fill()
    before = directories.held(database)

    for kind in directories.ALL:
        for content_type in (directories.NDJSON, directories.CSV):
            for body in (b"", b"\n\r\n  \n"):
                answer: Any = await admin.send(kind, body, content_type)
                assert answer.status == 200
                assert set(answer.body.values()) == {0}
    assert directories.held(database) == before
