"""With a single bad line nothing changes; each is named by number and reason, and not by what it says."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests import conftest, directories, guardians

# Nowhere in an answer.
CANARY = "canary-mc-canaryface@example.org"
GOOD: dict[str, dict[str, object]] = {
    "schools": {"external_id": "west", "time_zone": "UTC"},
    "classes": {"external_id": "3a", "school": "north"},
    "students": {"external_id": "eve", "class": "1a"},
    "guardians": {"external_id": "g9", "student": "ann"},
    "staff": {"external_id": "t9", "role": "staff", "school": "north"},
}


@pytest.fixture
async def admin(database: conftest.Database, running: conftest.Running) -> directories.Admin:
    """Somebody who may, and a directory with somebody in it."""
    one = directories.admin(database, running)
    await one.fill()
    return one


def _bad(answer: guardians.Answer) -> list[tuple[Any, ...]]:
    assert answer.status == 422, answer.raw
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.body["reason"] == "bad_lines"
    assert CANARY.encode() not in answer.raw
    assert answer.body["bad"] == len(answer.body["bad_lines"])
    return [tuple(one.values()) for one in answer.body["bad_lines"]]


_BAD_BYTES = [
    (b'{"external_id": "%s"' % CANARY.encode(), ("malformed",)),
    (b'{"external_id": "\xff\xfe%s"}' % CANARY.encode(), ("malformed",)),
    (b'{"external_id": "\xc3', ("malformed",)),
    (b'{"external_id": "\\ud800"}', ("malformed",)),
    (b'["%s"]' % CANARY.encode(), ("malformed",)),
    (b"[" * 10_000, ("malformed",)),
    (b'{"external_id": "a\\u0000b"}', ("invalid", "external_id")),
    (b'{"external_id": "a\x00b"}', ("malformed",)),
    (b'{"external_id": " a"}', ("invalid", "external_id")),
    (b'{"external_id": "a\\n"}', ("invalid", "external_id")),
    (b'{"external_id": ""}', ("invalid", "external_id")),
    (b'{"external_id": "%s"}' % (b"a" * 201), ("invalid", "external_id")),
    (b'{"external_id": 7}', ("invalid", "external_id")),
    (b'{"external_id": "%s"}' % (b"a" * 20_000), ("too_long",)),
    (b"{}", ("missing", "external_id")),
    (b'{"external_id": "a", "%s": 1}' % CANARY.encode(), ("unknown_field",)),
    (b'{"external_id": "a", "class": ["%s"]}' % CANARY.encode(), ("invalid", "class")),
]


async def test_what_is_no_line_is_refused(
    admin: directories.Admin, database: conftest.Database, subtests: pytest.Subtests
) -> None:
    """Broken JSON, torn UTF-8, NUL, over-long, unknown and missing fields; between two good ones."""
    before = directories.held(database)
    good = [json.dumps({"external_id": one}).encode() for one in ("eve", "fay")]

    for line, found in _BAD_BYTES:
        with subtests.test(repr(line[:60])):
            answer = await admin.send("students", b"\n".join((good[0], line, good[1])))

            assert _bad(answer) == [(2, *found)]
    assert directories.held(database) == before


_BAD_LINES: list[tuple[str, dict[str, object], tuple[str, ...]]] = [
    ("schools", {"time_zone": "Europe/Berlim"}, ("unknown_time_zone",)),
    ("schools", {"time_zone": "CEST-2"}, ("unknown_time_zone",)),
    ("schools", {"time_zone": None}, ("missing", "time_zone")),
    ("schools", {"opens_at": "08:00"}, ("invalid", "closes_at")),
    ("schools", {"opens_at": "08:00", "closes_at": "08:00"}, ("invalid", "closes_at")),
    ("schools", {"opens_at": "8:00", "closes_at": "24:00"}, ("invalid", "opens_at")),
    ("schools", {"weekdays": [0]}, ("invalid", "weekdays")),
    ("schools", {"weekdays": [1, 2.5]}, ("invalid", "weekdays")),
    ("schools", {"holidays": ["2026-02-30"]}, ("invalid", "holidays")),
    ("classes", {"school": "west"}, ("unknown_school",)),
    ("students", {"class": "9z"}, ("unknown_class",)),
    ("students", {"school": "west"}, ("unknown_school",)),
    ("students", {"school": "south", "class": "1a"}, ("class_of_other_school",)),
    ("guardians", {"student": CANARY}, ("unknown_student",)),
    ("guardians", {"student": None, "valid_until": "2026-01-01T00:00:00Z"}, ("invalid", "student")),
    ("guardians", {"valid_from": "2026-13-01T00:00:00Z"}, ("invalid", "valid_from")),
    ("guardians", {"valid_from": "2026-01-01T00:00:00"}, ("invalid", "valid_from")),
    ("guardians", {"valid_from": 1767225600}, ("invalid", "valid_from")),
    ("guardians", {"consent_until": "9999-12-31T23:59:59-14:00"}, ("invalid", "consent_until")),
    (
        "guardians",
        {"valid_from": "2026-01-01T00:00:00Z", "valid_until": "2026-01-01T00:00:00Z"},
        ("invalid", "valid_until"),
    ),
    ("guardians", {"school_hours_only": "yes"}, ("invalid", "school_hours_only")),
    ("guardians", {"email": f"{CANARY}@"}, ("invalid", "email")),
    ("guardians", {"email": "kanari-vögel@example.org"}, ("invalid", "email")),
    ("guardians", {"email": "a@" + "b" * 260}, ("invalid", "email")),
    ("guardians", {"email": "T2@EXAMPLE.ORG"}, ("email_in_use",)),
    ("guardians", {"external_id": "t1", "revoked": False}, ("is_staff",)),
    ("staff", {"role": "guardian"}, ("invalid", "role")),
    ("staff", {"role": None}, ("missing", "role")),
    ("staff", {"school": "west"}, ("unknown_school",)),
    ("staff", {"class": "9z"}, ("unknown_class",)),
    ("staff", {"school": "south", "class": "1a"}, ("class_of_other_school",)),
    ("staff", {"email": "g1@example.org"}, ("email_in_use",)),
    ("staff", {"sees_all": 1}, ("invalid", "sees_all")),
]


@pytest.mark.parametrize("content_type", [directories.NDJSON, directories.CSV])
async def test_what_does_not_fit_is_refused(
    admin: directories.Admin,
    database: conftest.Database,
    content_type: str,
    subtests: pytest.Subtests,
) -> None:
    """Unknown schools, classes, students, time zones; dates and addresses that are none, or are taken; as JSON and as CSV."""
    before = directories.held(database)
    is_json = content_type == directories.NDJSON
    write = directories.ndjson if is_json else directories.table
    # A header is a line, too.
    number = 2 if is_json else 3

    for kind, change, found in _BAD_LINES:
        with subtests.test(f"{kind} {change}"):
            lines = [GOOD[kind], {**GOOD[kind], "external_id": "other", **change}]
            answer = await admin.send(kind, write(lines), content_type)

            assert _bad(answer) == [(number, *found)]
    assert directories.held(database) == before


_CONTRADICTIONS: list[tuple[str, list[dict[str, object]], str]] = [
    ("schools", [{}, {}], "duplicate"),
    ("classes", [{}, {}], "duplicate"),
    ("students", [{}, {}], "duplicate"),
    ("guardians", [{}, {}], "duplicate"),
    ("staff", [{}, {}], "duplicate"),
    ("students", [{"class": "1a"}, {"class": "1b"}], "duplicate"),
    ("guardians", [{}, {"student": "ben", "email": "g9@example.org"}], "contradiction"),
    ("guardians", [{}, {"student": "ben", "revoked": True}], "contradiction"),
    ("guardians", [{}, {"student": "ben", "email": None}], "contradiction"),
    ("staff", [{}, {"school": "south", "role": "admin"}], "contradiction"),
    ("staff", [{}, {"school": "south", "sees_all": True}], "contradiction"),
    (
        "guardians",
        [{"email": "New@example.org"}, {"external_id": "g8", "email": "new@example.org"}],
        "email_in_use",
    ),
]


async def test_lines_that_speak_against_each_other_are_refused(
    admin: directories.Admin, database: conftest.Database, subtests: pytest.Subtests
) -> None:
    """The later one is the bad one."""
    before = directories.held(database)

    for kind, changes, found in _CONTRADICTIONS:
        with subtests.test(f"{kind} {changes}"):
            answer = await admin.put(kind, [{**GOOD[kind], **one} for one in changes])

            assert _bad(answer) == [(2, found)]
    assert directories.held(database) == before


_BAD_TABLES: list[tuple[bytes, tuple[Any, ...]]] = [
    (b"external_id,klass\neve,1a\n", (1, "unknown_field")),
    (b"school,class\nnorth,1a\n", (1, "missing", "external_id")),
    (b"external_id,external_id\neve,eve\n", (1, "malformed")),
    (b'external_id,"class\neve,1a\n', (1, "malformed")),
    (b"external_id,class\neve\n", (2, "malformed")),
    (b"external_id,class\neve,1a,north\n", (2, "malformed")),
    (b'external_id,class\neve,"1a\n', (2, "malformed")),
    (b'external_id,class\neve,"1a"b\n', (2, "malformed")),
    (b"external_id,class\n\xff,1a\n", (2, "malformed")),
    (b"external_id,class\n,1a\n", (2, "missing", "external_id")),
]


async def test_a_table_that_is_none_is_refused(
    admin: directories.Admin, database: conftest.Database, subtests: pytest.Subtests
) -> None:
    """A header that is not understood is one bad line, not one for each below it."""
    before = directories.held(database)

    for body, found in _BAD_TABLES:
        with subtests.test(repr(body)):
            answer = await admin.send("students", body, directories.CSV)

            assert _bad(answer) == [found]
    assert directories.held(database) == before


async def test_a_thousand_of_them_are_told_and_all_counted(admin: directories.Admin) -> None:
    """Those that the program finds and those that the database finds, by the order of the lines."""
    lines = [b"no line", b'{"external_id": "e", "class": "9z"}'] * 1_500

    answer = await admin.send("students", b"\n".join(lines))

    assert (answer.status, answer.body["bad"]) == (422, 3_000)
    told = [(one["line"], one["reason"]) for one in answer.body["bad_lines"]]
    assert [line for line, _ in told] == list(range(1, 1_001))
    assert {reason for _, reason in told} == {"malformed", "unknown_class", "duplicate"}


async def test_whoever_is_being_erased_is_not_brought_back(
    admin: directories.Admin, database: conftest.Database
) -> None:
    """Neither by a line of its own nor by a guardian's; once the row is gone, the id is another student's."""
    database.query("UPDATE students SET erased_at = now() WHERE external_id = 'ann'")

    student = await admin.put("students", [{"external_id": "ann"}])
    guardian = await admin.put("guardians", [{"external_id": "g1", "student": "ann"}])

    assert _bad(student) == [(1, "being_erased")]
    assert _bad(guardian) == [(1, "unknown_student")]


async def test_an_address_may_change_hands_in_two_steps(
    admin: directories.Admin, database: conftest.Database
) -> None:
    """Let go of by one body, taken by the next."""
    both: list[dict[str, object]] = [
        {"external_id": "g1", "email": None},
        {"external_id": "g2", "email": "g1@example.org"},
    ]

    refused = await admin.put("guardians", both)
    answers = [await admin.put("guardians", [one]) for one in both]

    assert _bad(refused) == [(2, "email_in_use")]
    assert [one.status for one in answers] == [200, 200]
