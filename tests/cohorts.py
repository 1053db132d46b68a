"""Students with something of each in every place that holds any, and what is held of one, or of all others."""

from __future__ import annotations

import datetime
import pathlib
from typing import Any, NamedTuple

import pyarrow.parquet

from geoingest import config, db
from geoingest.access import provision
from geoingest.lifecycle import partitions, retention, rollups
from tests import conftest

NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)
# Two days older than that are archived, and no more in the table.
DETAIL_DAYS = 40
_AGES = (1, 2, 20, 39, 44, 45)
_INSERT = """
INSERT INTO geolocation_data (student_id, "timestamp", device_id, latitude, longitude, received_at)
SELECT student_id, $1::timestamptz + second * interval '1 second', device_id, 52.5, 13.4, now()
FROM devices CROSS JOIN generate_series(1, 3) AS second
WHERE student_id IS NOT NULL
"""
_SHARE = """
INSERT INTO shares (student_id, viewer_id, token_digest, ends_at)
SELECT student_id, viewer_id, sha256(concat(student_id, viewer_id)::bytea), now() + interval '1 day'
FROM guardianships
"""
_TABLES = (
    *("geolocation_data", "geolocation_hourly", "geolocation_daily", "rollup_dirty"),
    *("rejected_pings", "guardianships", "shares", "devices", "viewers", "students"),
)
# By each who sees a student.
_SHARE = """
INSERT INTO shares (student_id, viewer_id, token_digest, ends_at)
SELECT student_id, viewer_id, sha256(convert_to(student_id || ' ' || viewer_id, 'UTF8')), now() + interval '1 day'
FROM guardianships
"""


class Cohort(NamedTuple):
    """The students of a database, and the settings that a command runs with."""

    database: conftest.Database
    settings: config.Config
    students: list[provision.Enrolled]
    gateway_id: int
    # Who sees which student and nobody else.
    watchers: dict[int, list[int]]

    @property
    def environment(self) -> dict[str, str]:
        """The same settings for a command line."""
        return {
            "GEOINGEST_ARCHIVE_DIR": self.settings.archive_dir,
            "GEOINGEST_ERASURE_LEDGER": self.settings.erasure_ledger,
        }


def make(database: conftest.Database, folder: pathlib.Path, *, count: int) -> Cohort:
    """Pings, archived days, hours, days, late hours, rejects, devices and viewers of so many students."""
    settings = database.settings(
        detail_days=DETAIL_DAYS,
        archive_dir=str(folder / "archive"),
        erasure_ledger=str(folder / "erasures.jsonl"),
    )
    with db.direct(database.url) as connection:
        with connection.transaction():
            students = provision.bulk(connection, count)
        ids = [one.student_id for one in students]
        gateway_id, _ = provision.add_device(connection, None)
        # Of one alone, of two, of all.
        for seen in ([ids[0]], ids[:2], None):
            provision.add_viewer(connection, seen)
        watchers = _watchers(connection)
        connection.execute(_SHARE)
        # The month of the oldest, whenever the tests run.
        partitions.ensure(connection, detail_days=_AGES[-1] + 1, now=NOW)
        connection.execute("UPDATE students SET created_at = now() - interval '1 day'")
        for age in _AGES:
            connection.execute(_INSERT, [NOW - age * DAY])
        rollups.run_once(connection, settings, NOW)
        retention.run_once(connection, settings, NOW)
        # Late, so that its hour waits to be rolled again.
        connection.execute(_INSERT, [NOW - 3 * DAY])
        for one in students:
            _reject(connection, one.device_id, b'{"latitude":91}')
            _reject(connection, gateway_id, b'{"student_id": %d,"lat' % one.student_id)
        _reject(connection, gateway_id, b"\xff\x00 nobody's")
    return Cohort(database, settings, students, gateway_id, watchers)


def mark(database: conftest.Database, student_id: int) -> None:
    """As the first step of an erasure does, two minutes ago: the wait is over."""
    for statement in (
        "UPDATE devices SET revoked_at = now() - interval '2 minutes' WHERE student_id = $1",
        "UPDATE students SET erased_at = now() - interval '2 minutes' WHERE student_id = $1",
    ):
        database.query(statement, student_id)


def held(cohort: Cohort, student: provision.Enrolled) -> dict[str, int]:
    """How many rows there are of one student, where there are any."""
    counts = {table: len(rows) for table, rows in _rows(cohort, student, own=True).items()}
    counts["archive"] = sum(row[0] == student.student_id for row in archived(cohort))
    return {place: count for place, count in counts.items() if count}


def others(cohort: Cohort, student: provision.Enrolled) -> dict[str, list[object]]:
    """Every row of everybody else, archived ones too, as text."""
    return {
        **_rows(cohort, student, own=False),
        "archive": [row for row in archived(cohort) if row[0] != student.student_id],
    }


def archived(cohort: Cohort) -> list[tuple[object, ...]]:
    """The rows of every file, in its order."""
    return [tuple(row.values()) for row in archived_rows(cohort)]


def archived_rows(cohort: Cohort) -> list[dict[str, Any]]:
    """The same, by the names of the columns."""
    return [
        row
        for path in sorted(pathlib.Path(cohort.settings.archive_dir).glob("*/*.parquet"))
        for row in pyarrow.parquet.read_table(path).to_pylist()
    ]


def _rows(cohort: Cohort, student: provision.Enrolled, *, own: bool) -> dict[str, list[object]]:
    found: dict[str, list[object]] = {}
    for table in _TABLES:
        condition = _condition(cohort, table, student.student_id)
        query = f"SELECT one::text FROM {table} AS one WHERE ({condition}) = $3 ORDER BY 1"  # noqa: S608  # our own words
        values = (student.student_id, student.device_id, own)
        found[table] = [text for (text,) in cohort.database.query(query, *values)]
    return found


def _condition(cohort: Cohort, table: str, student_id: int) -> str:
    """Whether a row is the student's, $1, with the device $2."""
    typed = "$1::bigint IS NOT NULL AND $2::integer IS NOT NULL"
    if table == "viewers":
        return f"{typed} AND viewer_id IN ({','.join(map(str, cohort.watchers[student_id]))})"
    if table == "rejected_pings":
        named = "strpos(encode(raw, 'escape'), '\"student_id\": ' || $1::bigint || ',') > 0"
        return f"{typed} AND (device_id = $2::integer OR {named})"
    return f"{typed} AND coalesce(student_id = $1::bigint, FALSE)"


def _watchers(connection: db.DirectConnection) -> dict[int, list[int]]:
    found = connection.execute(
        "SELECT min(student_id) AS student_id, viewer_id FROM guardianships"
        " GROUP BY viewer_id HAVING count(*) = 1"
    )
    watchers: dict[int, list[int]] = {}
    for row in found:
        watchers.setdefault(int(str(row["student_id"])), []).append(int(str(row["viewer_id"])))
    return watchers


def _reject(connection: db.DirectConnection, device_id: int, raw: bytes) -> None:
    connection.execute(
        "INSERT INTO rejected_pings (received_at, device_id, reason, raw)"
        " VALUES (now(), $1, 'malformed', $2)",
        [device_id, raw],
    )
