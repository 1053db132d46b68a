"""Schools give their students a time zone; who is in which is said by number, and typos are refused."""

from __future__ import annotations

import pytest

from geoingest.access import provision
from tests import commands, conftest


def _add(database: conftest.Database, time_zone: str) -> int:
    result = commands.run("school", "add", "--time-zone", time_zone, database=database)
    assert (result.exit_code, result.stderr) == (0, "")
    return int(result.stdout)


def _schools(database: conftest.Database) -> dict[object, object]:
    """The school of each student."""
    return dict(database.query("SELECT student_id, school_id FROM students"))  # type: ignore[arg-type]  # two columns


@pytest.mark.parametrize(
    ("given", "kept"), [("Europe/Berlin", "Europe/Berlin"), ("asia/kathmandu", "Asia/Kathmandu")]
)
def test_a_school_has_a_time_zone(database: conftest.Database, given: str, kept: str) -> None:
    """Its number is all that is printed; the name is kept as the database writes it."""
    school = _add(database, given)

    assert database.query("SELECT school_id, time_zone FROM schools") == [(school, kept)]


@pytest.mark.parametrize("given", ["Europe/Berlim", "CEST-2", "+02", ""])
def test_a_time_zone_that_is_none_exits_2(database: conftest.Database, given: str) -> None:
    """Also an offset, which knows of no summer time; the words say what to give instead."""
    result = commands.run("school", "add", "--time-zone", given, database=database)

    assert (result.exit_code, result.stdout) == (2, "")
    assert repr(given) in result.stderr
    assert "Europe/Berlin" in result.stderr
    assert database.query("SELECT count(*) FROM schools") == [(0,)]


def test_a_whole_school_is_provisioned(database: conftest.Database) -> None:
    """All of its students are in it."""
    school = _add(database, "Europe/Berlin")

    result = commands.run(
        "provision", "--students", "3", "--school", str(school), database=database
    )

    assert result.exit_code == 0
    assert _schools(database) == dict.fromkeys((1, 2, 3), school)


def test_students_are_moved(database: conftest.Database, school: list[provision.Enrolled]) -> None:
    """Some, then all; who is there already is not moved again."""
    first, second = _add(database, "Europe/Berlin"), _add(database, "Asia/Kathmandu")

    results = [
        commands.run(
            "student", "move", "--school", str(to), "--students", students, database=database
        )
        for to, students in ((first, "1,2,2"), (first, "2,3"), (second, "all"))
    ]

    assert [(one.exit_code, one.stdout) for one in results] == [(0, "")] * 3
    moved = [one.stderr for one in results]
    assert moved == [f"{count} students moved\n" for count in (2, 1, 10)]
    assert set(_schools(database).values()) == {second}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("student move --school 7 --students all", "there is no school 7"),
        ("student move --school 1 --students 1,777", "no such student: 777"),
        ("provision --students 2 --school 7", "there is no school 7"),
    ],
)
def test_who_is_unknown_is_named_and_nothing_changes(
    database: conftest.Database, school: list[provision.Enrolled], arguments: str, words: str
) -> None:
    """Exit 1: a typo must not pass for a move."""
    assert _add(database, "Europe/Berlin") == 1
    before = _schools(database)

    result = commands.run(*arguments.split(), database=database)

    assert (result.exit_code, result.stdout) == (1, "")
    assert words in result.stderr
    assert _schools(database) == before
