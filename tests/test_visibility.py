"""Who sees whom is one rule; a model agrees with it on any town, and it misses no line that is taken out."""

from __future__ import annotations

import contextlib
import datetime
import re
from collections.abc import Iterator
from typing import Any

import hypothesis
import psycopg
import pytest

from tests import conftest, sight, town_rows, towns

# The rule as it was migrated to, line by line; a condition that fills its line can be taken out alone.
_CONDITION = re.compile(r"^ *AND (?!.*\($).*$")
_SEVERAL = {
    "every session is good": ("AND (by_session = 0 OR EXISTS (", "AND (TRUE OR EXISTS ("),
    "a share shows all": ("among := ARRAY[shared];", ""),
    "a share shows the past": ("share.created_at - interval '1 day'", "'-infinity'::timestamptz"),
    "erased is seen among all": (
        "FROM students AS student\n            WHERE student.erased_at IS NULL",
        "FROM students AS student",
    ),
    "some are all": ("IF among IS NOT NULL THEN", "IF FALSE THEN"),
    "everybody is staff": ("sees_everyone OR EXISTS (", "TRUE OR EXISTS ("),
    "all are in everybody's scope": ("WHERE scope.viewer_id = by_viewer", ""),
    "some are in everybody's scope": (
        "scope.viewer_id = by_viewer\n                        AND scope.school_id",
        "scope.school_id",
    ),
    "who is seen twice is told twice": ("WHERE guarded.student_id <> all(in_scope)", ""),
    "hours do not count": (
        "WHEN guarded.school_hours_only THEN school_opened_at(student.school_id)",
        "WHEN guarded.school_hours_only THEN '-infinity'::timestamptz",
    ),
    "closed is open": ("WHERE rule.since IS NOT NULL", ""),
}
_SETTINGS = {
    "database": None,
    "deadline": None,
    "derandomize": True,
    "suppress_health_check": list(hypothesis.HealthCheck),
}


@contextlib.contextmanager
def _undone(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """Nothing of the block is left."""
    with connection.transaction(force_rollback=True):
        yield


def _compare(connection: psycopg.Connection[Any], town: towns.Town) -> None:
    """The rule and the model, for everybody, among all, some and one."""
    now = towns.clock()
    with _undone(connection):
        town_rows.write(connection, town, now)
        for among in (None, [], [2, 3, 99], [1]):
            ruled = sight.found(connection, town.bearers, among)
            for bearer, students in ruled.items():
                assert students == sight.seen(town, bearer, among, now), (bearer, among)


@pytest.fixture
def connection(database: conftest.Database) -> Iterator[psycopg.Connection[Any]]:
    """One that may do anything."""
    with psycopg.connect(database.admin_url) as made:
        yield made


def test_the_rule_is_the_models(connection: psycopg.Connection[Any]) -> None:
    """Terms, consent, hours, holidays, scopes, classes, erasures, sessions, shares: whoever asks, among whomever."""

    @hypothesis.settings(max_examples=300, **_SETTINGS)  # type: ignore[arg-type]  # as they are named
    @hypothesis.given(towns.towns())
    def agrees(town: towns.Town) -> None:
        _compare(connection, town)

    agrees()


def _rule(connection: psycopg.Connection[Any]) -> str:
    row = connection.execute("SELECT pg_get_functiondef('seen_by'::regproc)").fetchone()
    assert row is not None
    return str(row[0])


def test_every_condition_of_the_rule_counts(
    connection: psycopg.Connection[Any], subtests: pytest.Subtests
) -> None:
    """With any one of them taken out the comparison with the model finds a difference."""
    lines = _rule(connection).splitlines()
    broken = {
        f"line {number}: {line.strip()}": "\n".join(
            [*lines[:number], ";" if line.endswith(";") else "", *lines[number + 1 :]]
        )
        for number, line in enumerate(lines)
        if _CONDITION.match(line)
    }
    for name, (words, others) in _SEVERAL.items():
        assert "\n".join(lines).count(words) == 1, name
        broken[name] = "\n".join(lines).replace(words, others)
    # What was prepared with the rule as it is must not answer for the broken one.
    connection.prepare_threshold = None

    assert len(broken) > 20
    for name, rule in broken.items():
        with subtests.test(name), _undone(connection):
            connection.execute(rule.encode())
            assert _is_found_out(connection), name


def _is_found_out(connection: psycopg.Connection[Any]) -> bool:
    @hypothesis.settings(
        max_examples=400,
        # The first difference will do.
        phases=[hypothesis.Phase.generate],
        **_SETTINGS,  # type: ignore[arg-type]  # as they are named
    )
    @hypothesis.given(towns.towns())
    def agrees(town: towns.Town) -> None:
        _compare(connection, town)

    try:
        agrees()
    except AssertionError:
        return True
    return False


def test_row_security_is_the_same_rule(connection: psycopg.Connection[Any]) -> None:
    """Who only reads is shown pings of whom the model sees, and of school hours none from before they began."""

    @hypothesis.settings(max_examples=60, **_SETTINGS)  # type: ignore[arg-type]  # as they are named
    @hypothesis.given(towns.towns())
    def agrees(town: towns.Town) -> None:
        now = towns.clock()
        with _undone(connection):
            town_rows.write(connection, town, now)
            instants = _store(connection, now)
            _become_reader(connection)
            for bearer in {one._replace(session_id=0) for one in town.bearers}:
                for among in (None, [1], [2, 3]):
                    seen = sight.seen(town, bearer, among, now)
                    expected = {
                        (student_id, instant)
                        for student_id, since in seen.items()
                        for instant in instants
                        if instant >= since
                    }
                    assert _shown(connection, bearer, among) == expected, (bearer, among)

    agrees()


def _store(connection: psycopg.Connection[Any], now: towns.Clock) -> list[datetime.datetime]:
    """Of each student a ping from before the schools opened, one of that instant and one from after it."""
    step = datetime.timedelta(minutes=1)
    instants = [now.opened_at - step, now.opened_at, now.opened_at + step]
    connection.execute(
        'INSERT INTO geolocation_data (student_id, "timestamp", device_id, latitude, longitude,'
        " received_at) SELECT one, at, 1, 52.5, 13.4, at"
        " FROM generate_series(1, 5) AS one, unnest(%s::timestamptz[]) AS at",
        [instants],
    )
    return instants


def _become_reader(connection: psycopg.Connection[Any]) -> None:
    """Somebody who may read what readers may, and is nobody's owner."""
    connection.execute("CREATE ROLE somebody_who_reads")
    connection.execute("GRANT SELECT ON geolocation_seen TO somebody_who_reads")
    connection.execute(
        "GRANT EXECUTE ON FUNCTION seen(), seen_by(integer, bigint, integer, bigint[]),"
        " act_as(integer, integer, bigint[]) TO somebody_who_reads"
    )
    connection.execute("SET LOCAL ROLE somebody_who_reads")


def _shown(
    connection: psycopg.Connection[Any], bearer: towns.Bearer, among: list[int] | None
) -> set[tuple[int, datetime.datetime]]:
    connection.execute("SELECT act_as(%s, %s, %s)", [bearer.viewer_id, bearer.share_id, among])
    return set(connection.execute('SELECT student_id, "timestamp" FROM geolocation_seen'))


def test_who_has_not_said_who_it_is_sees_nobody(
    connection: psycopg.Connection[Any], school: object
) -> None:
    """Without act_as, and after the transaction that it was said in, no row is shown."""
    now = towns.clock()
    connection.execute("UPDATE viewers SET sees_all = TRUE WHERE viewer_id = 1")
    with _undone(connection):
        _store(connection, now)
        _become_reader(connection)
        before = connection.execute("SELECT count(*) FROM geolocation_seen").fetchone()
        connection.execute("SELECT act_as(1, 0, NULL)")
        within = connection.execute("SELECT count(*) FROM geolocation_seen").fetchone()
    after = connection.execute(
        "SELECT current_setting('app.viewer', TRUE), (SELECT count(*) FROM seen())"
    ).fetchone()

    assert (before, within) == ((0,), (15,))
    assert after is not None
    assert (after[0] or "", after[1]) == ("", 0)
