"""Whatever order pings, late pings, rolls, crashes and retention come in, the rollups are what the pings come to."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from typing_extensions import override

from geoingest import config, db
from geoingest.lifecycle import barrier, partitions, retention, rollups
from tests import conftest, recount

_START = datetime.datetime(2026, 3, 27, 20, 0, tzinfo=datetime.UTC)
_ZONES = {2: "Europe/Berlin", 3: "Asia/Kolkata", 4: "America/St_Johns"}
_STUDENTS = [1, *_ZONES]
_SETTINGS = config.Config()
_MOST_OPEN = 2
_INSERT = """
INSERT INTO geolocation_data
(student_id, "timestamp", device_id, latitude, longitude, accuracy, speed, received_at)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING
"""
# What loses pings: a marker that is there already is taken for one's own.
_MARKERS = """
CREATE UNIQUE INDEX one_marker ON rollup_dirty (student_id, hour);
CREATE OR REPLACE FUNCTION note_late_pings() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO rollup_dirty (student_id, hour)
    SELECT DISTINCT student_id, date_trunc('hour', "timestamp", 'UTC') FROM fresh
    WHERE "timestamp" < (SELECT watermark FROM rollup_state)
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$
"""
_fixes = st.builds(
    recount.Fix,
    st.sampled_from(_STUDENTS),
    # Before the machine's clock, which is put in when it is written.
    st.one_of(
        st.integers(0, 7200),
        st.integers(0, 3 * 86400),
        st.integers(0, 89 * 24).map(lambda h: h * 3600),
    ).map(lambda seconds: _START - datetime.timedelta(seconds=seconds)),
    st.integers(7, 8),
    st.sampled_from([52.5, 52.5001, 52.51, -33.9]),
    st.sampled_from([13.4, 13.4001, 13.5, 151.2]),
    st.sampled_from([None, 5.0, 30.0]),
    st.sampled_from([None, 0.0, 1.5]),
)


class CrashError(Exception):
    """The process is gone."""


class Crashing:
    """A connection whose server process ends before the n-th statement."""

    def __init__(self, connection: db.DirectConnection, statements: int) -> None:
        self._connection = connection
        self._left = statements

    def execute(self, *arguments: Any) -> Any:  # the driver's own
        if not self._left:
            self._connection.close()
            raise CrashError
        self._left -= 1
        return self._connection.execute(*arguments)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        with self._connection.transaction():
            yield


class Ages(RuleBasedStateMachine):
    """Pings come on time, late and twice, some in transactions that stay open; jobs run and crash."""

    database: conftest.Database
    made = False

    def __init__(self) -> None:
        super().__init__()
        self.now = _START
        self.stored: set[recount.Fix] = set()
        self.open: list[tuple[psycopg.Connection[tuple[Any, ...]], list[recount.Fix]]] = []
        self.connection = self._direct()

    @initialize()
    def start_anew(self) -> None:
        self.connection.execute(
            "TRUNCATE geolocation_data, geolocation_hourly, geolocation_daily, rollup_dirty"
        )
        self.connection.execute("DELETE FROM rollup_state")
        self.connection.execute("INSERT INTO rollup_state DEFAULT VALUES")
        self._make_months()

    @rule(fixes=st.lists(_fixes, min_size=1, max_size=6))
    def write(self, fixes: list[recount.Fix]) -> None:
        with psycopg.connect(self.database.url) as writer:
            self.stored.update(self._insert(writer, fixes))

    @precondition(lambda self: len(self.open) < _MOST_OPEN)
    @rule(fixes=st.lists(_fixes, min_size=1, max_size=4))
    def begin(self, fixes: list[recount.Fix]) -> None:
        writer = psycopg.connect(self.database.url)
        # A key that another open transaction has inserted would have to be waited for.
        taken = {fix[:3] for _, others in self.open for fix in others}
        mine = [fix for fix in self._moved(fixes) if fix[:3] not in taken]
        self.open.append((writer, self._insert_moved(writer, mine)))

    @precondition(lambda self: self.open)
    @rule(commits=st.booleans())
    def end(self, commits: bool) -> None:
        writer, fixes = self.open.pop(0)
        if commits:
            writer.commit()
            self.stored.update(fixes)
        writer.close()

    # The rollups are kept for a year.
    @precondition(lambda self: self.now < _START + datetime.timedelta(days=250))
    @rule(hours=st.one_of(st.integers(1, 30), st.sampled_from([24 * 20, 24 * 45])))
    def time_passes(self, hours: int) -> None:
        # No write takes hours.
        while self.open:
            self.end(commits=True)
        self.now += datetime.timedelta(hours=hours)
        self._make_months()

    @rule(crash_after=st.one_of(st.none(), st.integers(0, 12)))
    def roll(self, crash_after: int | None) -> None:
        with contextlib.suppress(barrier.WritersBusyError):
            self._run(rollups, crash_after)

    @rule(crash_after=st.one_of(st.none(), st.integers(0, 12)))
    def retain(self, crash_after: int | None) -> None:
        with contextlib.suppress(barrier.WritersBusyError, retention.NotSealedError):
            self._run(retention, crash_after)

    @precondition(lambda self: not self.open)
    @rule()
    def be_quiet(self) -> None:
        """Once the roller ran, all is there; of pings that are gone, too."""
        rollups.run_once(self.connection, _SETTINGS, self.now)
        # And the hours that are not over, on any clock, at the last full hour in UTC.
        over = (self.now - rollups.GRACE).replace(minute=0)
        rollups.backfill(self.connection, _SETTINGS, start=over, end=self.now)
        recount.check(self.database, self.stored, _ZONES)

    @invariant()
    def nothing_is_old(self) -> None:
        """What retention has let go was sealed before."""
        ((sealed_to, kept),) = self.database.query(
            'SELECT sealed_to, (SELECT count(*) FROM geolocation_data WHERE "timestamp" >= sealed_to)'
            " FROM rollup_state"
        )
        assert kept == sum(fix.timestamp >= sealed_to for fix in self.stored)  # type: ignore[operator]

    @override
    def teardown(self) -> None:
        while self.open:
            self.end(commits=False)
        self.connection.close()

    def _run(self, job: Any, crash_after: int | None) -> None:
        if crash_after is None:
            job.run_once(self.connection, _SETTINGS, self.now, patience_seconds=0)
            return
        crashing = Crashing(self.connection, crash_after)
        with contextlib.suppress(CrashError, psycopg.OperationalError):
            job.run_once(crashing, _SETTINGS, self.now, patience_seconds=0)
        self.connection.close()
        self.connection = self._direct()

    def _make_months(self) -> None:
        partitions.ensure(self.connection, detail_days=_SETTINGS.detail_days, now=self.now)

    def _direct(self) -> db.DirectConnection:
        return psycopg.connect(self.database.url, **db._DIRECT)

    def _insert(
        self, writer: psycopg.Connection[Any], fixes: list[recount.Fix]
    ) -> list[recount.Fix]:
        taken = {fix[:3] for _, others in self.open for fix in others}
        return self._insert_moved(
            writer, [fix for fix in self._moved(fixes) if fix[:3] not in taken]
        )

    def _insert_moved(
        self, writer: psycopg.Connection[Any], fixes: list[recount.Fix]
    ) -> list[recount.Fix]:
        return [fix for fix in fixes if writer.execute(_INSERT, [*fix, self.now]).rowcount == 1]

    def _moved(self, fixes: list[recount.Fix]) -> list[recount.Fix]:
        """With the machine's clock, and not so old that the door would refuse them."""
        by = self.now - _START
        return [fix._replace(timestamp=fix.timestamp + by) for fix in fixes]


@pytest.fixture
def zoned(database: conftest.Database) -> conftest.Database:
    """With students in schools of several time zones."""
    for student_id in _STUDENTS:
        database.query("INSERT INTO students (student_id) VALUES ($1)", student_id)
    for student_id, zone in _ZONES.items():
        database.query(
            "WITH school AS (INSERT INTO schools (time_zone) VALUES ($1) RETURNING school_id)"
            " UPDATE students SET school_id = school.school_id FROM school WHERE student_id = $2",
            *(zone, student_id),
        )
    return database


def test_rollups_are_always_what_the_pings_come_to(zoned: conftest.Database) -> None:
    """Recounted at every quiet moment from all pings that were ever stored."""
    machine = type("Machine", (Ages,), {"database": zoned})
    run_state_machine_as_test(
        machine,
        settings=settings(
            deadline=None,
            max_examples=15,
            stateful_step_count=20,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.parametrize("fault", ["", _MARKERS])
def test_a_ping_whose_hour_is_just_being_rolled_is_not_lost(
    zoned: conftest.Database, fault: str
) -> None:
    """It notes its hour itself; where it takes another's marker for its own, the recount finds it out."""
    now, ages = _START, datetime.timedelta(hours=5)
    first, second = (
        recount.Fix(1, now - ages + datetime.timedelta(seconds=at), 7, 52.5, 13.4 + at / 1000)
        for at in (1, 2)
    )
    with db.direct(zoned.url) as connection, psycopg.connect(zoned.url) as late:
        if fault:
            connection.execute(fault)
        partitions.ensure(connection, detail_days=90, now=now)
        rollups.run_once(connection, _SETTINGS, now)
        with psycopg.connect(zoned.url) as writer:
            writer.execute(_INSERT, [*first, now])
        late.execute(_INSERT, [*second, now])

        rollups.run_once(connection, _SETTINGS, now)
        late.commit()
        rollups.run_once(connection, _SETTINGS, now)

    if fault:
        with pytest.raises(AssertionError):
            recount.check(zoned, [first, second], _ZONES)
    else:
        recount.check(zoned, [first, second], _ZONES)
