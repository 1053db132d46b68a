"""Whoever is erased is gone from everywhere, also after a restore, and nobody else has lost anything."""

from __future__ import annotations

import contextlib
import datetime
import json
import pathlib
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator

import psycopg
import pytest
from psycopg import sql

from geoingest import config, db
from geoingest.access import provision
from geoingest.lifecycle import erasure, quarantine
from geoingest.local import cluster, roles
from tests import cohorts, commands, conftest

_COUNT = 100
_PLACES = {
    *("geolocation_data", "geolocation_hourly", "geolocation_daily", "rollup_dirty", "archive"),
    *("rejected_pings", "guardianships", "shares", "devices", "viewers", "students"),
}
# Queries that a careless erasure leaves out, and where that shows.
_FORGOTTEN = {
    "erase_pings": "geolocation_data",
    "erase_hours": "geolocation_hourly",
    "erase_days": "geolocation_daily",
    "erase_late_hours": "rollup_dirty",
    "erase_rejects": "rejected_pings",
    "erase_viewers": "viewers",
}


@pytest.fixture
def cohort(database: conftest.Database, tmp_path: pathlib.Path) -> cohorts.Cohort:
    """Three students."""
    return cohorts.make(database, tmp_path, count=3)


def _erase(cohort: cohorts.Cohort, student_id: int) -> None:
    with db.direct(cohort.database.url) as connection:
        erasure.erase(connection, cohort.settings, student_id, tell=_nobody)


def _nobody(words: str) -> None:
    """Is told."""


def test_of_a_hundred_one_is_gone_and_the_others_are_as_they_were(
    database: conftest.Database, tmp_path: pathlib.Path
) -> None:
    """Tables, archive and replica hold nothing of the one, and every row of the 99, byte for byte."""
    cohort = cohorts.make(database, tmp_path, count=_COUNT)
    victim = cohort.students[0]
    before = cohorts.others(cohort, victim)
    assert set(cohorts.held(cohort, victim)) == _PLACES
    # 1 is also how 10 to 19 and 100 begin.
    assert victim.student_id == 1
    cohorts.mark(database, victim.student_id)

    result = commands.run(
        *("erase", "--student", "1", "--yes"), database=database, environment=cohort.environment
    )

    assert (result.exit_code, result.stderr) == (0, "")
    assert cohorts.held(cohort, victim) == {}
    assert cohorts.others(cohort, victim) == before
    assert len(before["students"]) == _COUNT - 1
    heads, numbers = (line.split() for line in result.stdout.splitlines())
    assert heads[:2] == ["student", "id"]
    assert numbers[0] == "1"
    assert all(int(number) > 0 for number in numbers)
    replayed = database._replace(url=database.replica_url)
    _until_replayed(database)
    assert cohorts.held(cohort._replace(database=replayed), victim) == {}


def _until_replayed(database: conftest.Database) -> None:
    ((end,),) = database.query("SELECT pg_current_wal_lsn()::text")
    replica = database._replace(url=database.replica_url)
    while replica.query("SELECT pg_last_wal_replay_lsn() >= $1::text::pg_lsn", end) != [(True,)]:
        pass


def test_staff_stay_and_guardians_of_nobody_else_go(cohort: cohorts.Cohort) -> None:
    """An address, a password, sessions keep no guardian; a role keeps a teacher or an administrator who is one, too."""
    victim, other = cohort.students[:2]
    cohorts.mark(cohort.database, victim.student_id)
    for name, role, students in (
        ("guardian", "guardian", [victim]),
        ("of two", "guardian", [victim, other]),
        ("of nobody", "guardian", []),
        ("teacher", "staff", [victim]),
        ("scoped", "guardian", [victim]),
        ("administrator", "admin", [victim]),
    ):
        ((viewer_id,),) = cohort.database.query(
            "INSERT INTO viewers (external_id, role, email, password_hash)"
            " VALUES ($1, $2, $3, '$argon2id$x') RETURNING viewer_id",
            name,
            role,
            f"{name.replace(' ', '')}@example.org",
        )
        cohort.database.query(
            "INSERT INTO sessions (viewer_id, token_digest, idle_seconds, ends_at)"
            " VALUES ($1, sha256($2), 60, now() + interval '1 day')",
            viewer_id,
            name.encode(),
        )
        for one in students:
            cohort.database.query(
                "INSERT INTO guardianships (viewer_id, student_id) VALUES ($1, $2)",
                viewer_id,
                one.student_id,
            )
    cohort.database.query(
        "WITH school AS (INSERT INTO schools DEFAULT VALUES RETURNING school_id)"
        " INSERT INTO staff_scopes (viewer_id, school_id)"
        " SELECT viewer_id, school_id FROM viewers, school WHERE external_id = 'scoped'"
    )

    _erase(cohort, victim.student_id)

    left = cohort.database.query(
        "SELECT external_id, count(session_id) FROM viewers LEFT JOIN sessions USING (viewer_id)"
        " WHERE external_id IS NOT NULL GROUP BY external_id ORDER BY external_id"
    )
    assert left == [
        (name, 1) for name in ("administrator", "of nobody", "of two", "scoped", "teacher")
    ]
    assert cohorts.held(cohort, victim) == {}


@contextlib.contextmanager
def _without(*queries: str) -> Iterator[None]:
    """A program whose queries of these names do nothing; and that looks for the student's own row alone."""
    known = db.queries()
    kept = {name: known[name] for name in (*queries, "is_held")}
    nothing = {
        name: f"DELETE FROM students WHERE student_id < 0 AND {_typed(text)}"  # noqa: S608  # our own words
        for name, text in kept.items()
    }
    nothing["is_held"] = (
        "SELECT exists(SELECT FROM students WHERE student_id = $1)"
        " AND $2::integer[] IS NOT NULL AS is_held"
    )
    known.update(nothing)  # type: ignore[attr-defined]  # the fault
    try:
        yield
    finally:
        known.update(kept)  # type: ignore[attr-defined]


def _typed(text: str) -> str:
    casts = {
        "$1": "$1::bigint IS NULL",
        "$2": "$2::text IS NULL",
        "$3": "$3::text IS NULL",
        "$4": "$4::text IS NULL",
    }
    return " AND ".join(cast for name, cast in casts.items() if name in text)


@pytest.mark.parametrize(("query", "place"), _FORGOTTEN.items())
def test_the_check_finds_an_erasure_that_forgets_a_table(
    cohort: cohorts.Cohort, query: str, place: str
) -> None:
    """Each of them: the same look at what is held turns red."""
    victim = cohort.students[0]
    cohorts.mark(cohort.database, victim.student_id)

    with _without(query):
        _erase(cohort, victim.student_id)

    assert set(cohorts.held(cohort, victim)) == {place}


def test_the_check_finds_an_erasure_that_forgets_the_archive(cohort: cohorts.Cohort) -> None:
    """Run without its folder, by somebody who does not heed the words."""
    victim = cohort.students[0]
    cohorts.mark(cohort.database, victim.student_id)
    environment = {**cohort.environment, "GEOINGEST_ARCHIVE_DIR": ""}

    result = commands.run(
        *("erase", "--student", str(victim.student_id), "--yes"),
        database=cohort.database,
        environment=environment,
    )

    assert result.exit_code == 0
    assert "no archive is named" in result.stderr
    assert set(cohorts.held(cohort, victim)) == {"archive"}


@pytest.mark.parametrize("query", [one for one in _FORGOTTEN if one != "erase_viewers"])
def test_what_is_left_is_no_success(cohort: cohorts.Cohort, query: str) -> None:
    """It looks for itself, too: what is there each time is exit code 1."""
    victim = cohort.students[0]
    cohorts.mark(cohort.database, victim.student_id)
    is_held = db.queries()["is_held"]

    with _without(query):
        db.queries()["is_held"] = is_held  # type: ignore[index]  # as it is
        with pytest.raises(erasure.NotErasedError):
            _erase(cohort, victim.student_id)


@pytest.fixture
def restored(
    servers: cluster.Cluster, cohort: cohorts.Cohort, tmp_path: pathlib.Path
) -> Iterator[Callable[[], cohorts.Cohort]]:
    """A copy of database and archive from before; called, it is there again in place of them."""
    database = cohort.database
    name = f"copy_{secrets.token_hex(4)}"
    admin_url = servers.url(cluster.PRIMARY_PORT, user="postgres", database="postgres")
    ((source,),) = database.query("SELECT current_database()")
    shutil.copytree(cohort.settings.archive_dir, tmp_path / "older")
    names = sql.Identifier(name), sql.Identifier(str(source)), sql.Identifier(roles.OWNER)
    copy = sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER {}").format(*names)

    def restore() -> cohorts.Cohort:
        shutil.rmtree(cohort.settings.archive_dir)
        shutil.copytree(tmp_path / "older", cohort.settings.archive_dir)
        url = servers.url(cluster.PRIMARY_PORT, database=name)
        return cohort._replace(database=database._replace(url=url))

    with psycopg.connect(admin_url, autocommit=True) as admin:
        admin.execute(copy)
        try:
            yield restore
        finally:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(names[0]))


def _replay(cohort: cohorts.Cohort) -> tuple[int, str, str]:
    result = commands.run(
        "erase", "--replay", database=cohort.database, environment=cohort.environment
    )
    return result.exit_code, result.stdout, result.stderr


def test_after_a_restore_the_replay_leaves_nothing(
    cohort: cohorts.Cohort, restored: Callable[[], cohorts.Cohort]
) -> None:
    """An older database and archive bring the student back; the ledger knows, and everybody else stays."""
    victim = cohort.students[0]
    cohorts.mark(cohort.database, victim.student_id)
    _erase(cohort, victim.student_id)

    copy = restored()
    back = set(cohorts.held(copy, victim))
    before = cohorts.others(copy, victim)
    cohorts.mark(copy.database, victim.student_id)
    code, out, words = _replay(copy)

    assert back == _PLACES
    assert (code, words) == (0, "students in the ledger: 1, erased again: 1\n")
    assert out.splitlines()[1].split()[0] == str(victim.student_id)
    assert cohorts.held(copy, victim) == {}
    assert cohorts.others(copy, victim) == before
    assert _replay(copy) == (0, "", "students in the ledger: 1, erased again: 0\n")
    assert len(_lines(copy)) == 1


def _lines(cohort: cohorts.Cohort) -> list[str]:
    return pathlib.Path(cohort.settings.erasure_ledger).read_text().splitlines()


def test_a_replay_spares_who_was_given_the_number_later(
    cohort: cohorts.Cohort, restored: Callable[[], cohorts.Cohort]
) -> None:
    """The platform chooses numbers: another child with this one was added after the erasure."""
    victim = cohort.students[0]
    cohorts.mark(cohort.database, victim.student_id)
    _erase(cohort, victim.student_id)
    number = str(victim.student_id)
    added = commands.run("device", "add", "--student", number, database=cohort.database)
    device_id = int(added.stdout.split()[0])
    cohort.database.query(
        'INSERT INTO geolocation_data (student_id, "timestamp", device_id, latitude, longitude,'
        " received_at) VALUES ($1, now(), $2, 52.5, 13.4, now())",
        victim.student_id,
        device_id,
    )
    before = cohorts.held(cohort, victim)

    code, out, words = _replay(cohort)
    # The same ledger, and a copy in which the number is still the erased one's.
    copy = restored()
    cohorts.mark(copy.database, victim.student_id)
    _replay(copy)

    assert (code, out) == (0, "")
    assert f"student {number} was added later and stays" in words
    assert cohorts.held(cohort, victim) == before
    assert before.keys() == {"geolocation_data", "devices", "students"}
    assert cohorts.held(copy, victim) == {}
    assert _replay(cohort)[0] == 0
    assert cohorts.held(cohort, victim) == before


def test_table_and_ledger_each_get_what_the_other_has(cohort: cohorts.Cohort) -> None:
    """A line for each erasure, numbers and an instant only, for the eyes of its owner."""
    path = pathlib.Path(cohort.settings.erasure_ledger)
    for victim in cohort.students[:2]:
        cohorts.mark(cohort.database, victim.student_id)
        _erase(cohort, victim.student_id)
    written, mode = _lines(cohort), stat.S_IMODE(path.stat().st_mode)
    noted = "SELECT student_id, erased_at, device_ids FROM erasures ORDER BY student_id"
    rows = cohort.database.query(noted)

    path.unlink()
    from_table = _replay(cohort)[0], sorted(_lines(cohort))
    cohort.database.query("TRUNCATE erasures")
    from_file = _replay(cohort)[0], cohort.database.query(noted)

    assert mode == 0o600
    entries = [json.loads(line) for line in written]
    assert [
        (one["student_id"], datetime.datetime.fromisoformat(one["erased_at"]), one["device_ids"])
        for one in entries
    ] == rows
    assert {tuple(one) for one in entries} == {("student_id", "device_ids", "erased_at")}
    assert from_table == (0, sorted(written))
    assert from_file == (0, rows)


def test_a_line_that_cannot_be_read_is_no_success(cohort: cohorts.Cohort) -> None:
    """Cut short by a crash, it may name somebody: the others are erased, the line is named, exit code 1."""
    victim = cohort.students[0]
    path = pathlib.Path(cohort.settings.erasure_ledger)
    path.write_text('{"student_id":2,"device_')
    cohorts.mark(cohort.database, victim.student_id)
    _erase(cohort, victim.student_id)

    code, _, words = _replay(cohort)

    assert code == 1
    assert f"{path}: line 1 cannot be read" in words
    assert len(_lines(cohort)) == 2


def test_an_unknown_student_is_named_and_a_second_time_is_none(cohort: cohorts.Cohort) -> None:
    """Exit code 1 for a number that nobody ever had; 0 for one that is erased already."""
    victim = cohort.students[0]
    cohorts.mark(cohort.database, victim.student_id)

    unknown, first, again = (
        commands.run(
            *("erase", "--student", str(number), "--yes"),
            database=cohort.database,
            environment=cohort.environment,
        )
        for number in (4711, victim.student_id, victim.student_id)
    )

    assert (unknown.exit_code, unknown.stdout) == (1, "")
    assert unknown.stderr == "geoingest: no such student: 4711\n"
    assert (first.exit_code, again.exit_code) == (0, 0)
    assert "nothing was held" in again.stderr
    assert len(_lines(cohort)) == 1


def test_without_a_ledger_nothing_is_removed(
    cohort: cohorts.Cohort, tmp_path: pathlib.Path
) -> None:
    """An erasure that no restore could be told of is none: exit code 1, and the setting is named."""
    victim = cohort.students[0]
    before = cohorts.held(cohort, victim)
    (tmp_path / "file").touch()
    environment = {**cohort.environment, "GEOINGEST_ERASURE_LEDGER": str(tmp_path / "file" / "x")}

    result = commands.run(
        *("erase", "--student", str(victim.student_id), "--yes"),
        database=cohort.database,
        environment=environment,
    )

    assert (result.exit_code, result.stdout) == (1, "")
    assert "GEOINGEST_ERASURE_LEDGER" in result.stderr
    assert cohorts.held(cohort, victim) == before
    assert cohort.database.query("SELECT count(*) FROM devices WHERE revoked_at IS NULL") == [(4,)]


def test_a_device_that_is_added_meanwhile_goes_too(cohort: cohorts.Cohort) -> None:
    """It is revoked and waited for like the others, and the ledger has its number; nothing is begun twice."""
    victim = cohort.students[0]
    cohorts.mark(cohort.database, victim.student_id)
    added: list[int] = []

    def interfere(words: str) -> None:
        with db.direct(cohort.database.url) as another:
            if not added:
                added.append(provision.add_device(another, victim.student_id)[0])
            elif words.endswith("on its way any more"):
                # A minute later.
                cohorts.mark(cohort.database, victim.student_id)

    with db.direct(cohort.database.url) as connection:
        erased = erasure.erase(connection, cohort.settings, victim.student_id, tell=interfere)

    assert erased.devices == 2
    assert cohorts.held(cohort, victim) == {}
    lines = [json.loads(line) for line in _lines(cohort)]
    assert [one["device_ids"] for one in lines] == [
        [victim.device_id],
        [victim.device_id, *added],
    ]
    assert lines[0]["erased_at"] == lines[1]["erased_at"]
    assert cohort.database.query("SELECT count(*) FROM erasures") == [(1,)]


def test_a_month_that_is_detached_is_looked_through(cohort: cohorts.Cohort) -> None:
    """A table that bears a month's name and is no partition, half dropped or restored by hand."""
    victim = cohort.students[0]
    cohorts.mark(cohort.database, victim.student_id)
    ((month,),) = cohort.database.query(
        "SELECT tableoid::regclass::text FROM geolocation_data LIMIT 1"
    )
    cohort.database.query(f"ALTER TABLE geolocation_data DETACH PARTITION {month}")

    _erase(cohort, victim.student_id)

    left = cohort.database.query(f"SELECT DISTINCT student_id FROM {month}")  # noqa: S608  # its own name
    assert sorted(left) == [(one.student_id,) for one in cohort.students[1:]]


def test_what_a_gateway_goes_on_to_send_leaves_with_the_next_job(cohort: cohorts.Cohort) -> None:
    """It is rejected as unknown, and the reject is gone within the hour; a number in use is left alone."""
    victim, other = cohort.students[:2]
    cohorts.mark(cohort.database, victim.student_id)
    _erase(cohort, victim.student_id)
    before = cohorts.others(cohort, victim)
    insert = (
        "INSERT INTO rejected_pings (received_at, device_id, reason, raw)"
        " VALUES (now(), $1, 'unknown_student', $2)"
    )
    for number in (victim.student_id, other.student_id, 4711):
        raw = b'{"latitude":52.5,"student_id":%d}' % number
        cohort.database.query(insert, cohort.gateway_id, raw)

    with db.direct(cohort.database.url) as connection:
        quarantine.run_once(connection, config.Config(), cohorts.NOW)

    raws = cohort.database.query(
        "SELECT convert_from(raw, 'UTF8') FROM rejected_pings WHERE reason = 'unknown_student'"
    )
    named = [json.loads(str(raw))["student_id"] for (raw,) in raws]
    assert named == [other.student_id, 4711]
    assert (
        len(cohorts.others(cohort, victim)["rejected_pings"]) == len(before["rejected_pings"]) + 2
    )
