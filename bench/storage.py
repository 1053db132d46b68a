"""What a ping costs on disk and in the WAL: as it is kept, as others keep it, and in cheaper rows."""

from __future__ import annotations

import datetime
import statistics
import time
from collections.abc import Sequence
from typing import NamedTuple

import click
import psycopg
from psycopg import sql

from bench import world
from geoingest import db

_MONTH_PINGS = 3500 * 30 * 86_400 // 10
_STEP_SECONDS = 10
_TRACK_POINTS = 100
# In the order in which pings arrive: each student's next one comes after all the others'.
_STAGE = """
CREATE TABLE staged AS
SELECT
    student AS student_id,
    $1::timestamptz + make_interval(secs => step * $2 + (student % $2)) AS "timestamp",
    student::integer AS device_id,
    52.4 + 0.2 * random() AS latitude,
    13.2 + 0.4 * random() AS longitude,
    (3 + 27 * random())::real AS accuracy,
    NULL::real AS altitude,
    (15 * random())::real AS speed,
    (360 * random())::real AS course,
    (5 + 90 * random())::smallint AS battery,
    $1::timestamptz + make_interval(secs => step * $2 + (student % $2) + 1) AS received_at
FROM generate_series(0, $4 - 1) AS step
CROSS JOIN generate_series(1::bigint, $3) AS student
"""
_COLUMNS = (
    'student_id, "timestamp", device_id, latitude, longitude, accuracy, altitude, speed, course, '
    "battery, received_at"
)
_WHOLE = "CREATE TABLE {} (LIKE geolocation_data INCLUDING ALL)"
_PLAIN = "CREATE TABLE {} (LIKE geolocation_data)"
_KEY = 'student_id, "timestamp" DESC, device_id'
_WIDEST_FIRST = """
CREATE TABLE {} (
    student_id bigint NOT NULL, "timestamp" timestamptz NOT NULL, received_at timestamptz NOT NULL,
    latitude %s NOT NULL, longitude %s NOT NULL, device_id integer NOT NULL, accuracy real,
    altitude real, speed real, course real, battery smallint
)
"""
# Degrees in steps of a ten-millionth, a centimetre.
_FIXED_POINT = _COLUMNS.replace("latitude", "(latitude * 1e7)::integer AS latitude").replace(
    "longitude", "(longitude * 1e7)::integer AS longitude"
)
_EACH = """
DO $$
DECLARE
    one staged;
BEGIN
    FOR one IN SELECT * FROM staged LOOP
        INSERT INTO {table} ({columns}) SELECT one.*;
        COMMIT;
    END LOOP;
END
$$
"""


class Plan(NamedTuple):
    """The options; `batch` pings in each COPY."""

    students: int = 3500
    pings: int = 200
    batch: int = 500


class _Layout(NamedTuple):
    """A table, an index if it has none yet, and how the pings look in it; written row by row or by COPY."""

    name: str
    table: str = _PLAIN
    key: str = _KEY
    select: str = _COLUMNS
    by_row: bool = False


_LAYOUTS = (
    _Layout("heap", key=""),
    _Layout("ours", _WHOLE, key=""),
    _Layout("insert", _WHOLE, key="", by_row=True),
    _Layout("ascending", key='student_id, "timestamp", device_id'),
    _Layout("reordered", _WIDEST_FIRST % (("double precision",) * 2)),
    _Layout("fixed_point", _WIDEST_FIRST % (("integer",) * 2), select=_FIXED_POINT),
    _Layout("covering", key=f"{_KEY}) INCLUDE (latitude, longitude, accuracy, speed, received_at"),
)


def run(plan: Plan) -> dict[str, object]:
    """Each layout in turn, bytes per ping."""
    values: dict[str, object] = {}
    with world.databases(with_replica=False) as on, db.direct(on.url) as connection:
        now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
        connection.execute(_STAGE, [now, _STEP_SECONDS, plan.students, plan.pings])
        pings = plan.students * plan.pings
        for layout in _LAYOUTS:
            found = _measure(plan, on, connection, layout)
            told = ", ".join(f"{name} {value:g}" for name, value in found.items())
            click.echo(f"  {layout.name:12} {told}", err=True)
            values |= {f"{layout.name}_{name}": value for name, value in found.items()}
    ours = values["ours_heap_bytes"], values["ours_index_bytes"]
    month_gib = sum(map(float, map(str, ours))) * _MONTH_PINGS / 2**30
    return {
        **values,
        "pings": pings,
        "month_pings": _MONTH_PINGS,
        "month_gib": round(month_gib, 1),
        "valid": True,
        "postgresql": on.servers.version,
    }


def _measure(
    plan: Plan, on: world.World, connection: db.DirectConnection, layout: _Layout
) -> dict[str, float]:
    table = sql.Identifier(f"layout_{layout.name}")
    connection.execute(sql.SQL(layout.table).format(table))
    if layout.key:
        statement = sql.SQL(f"CREATE UNIQUE INDEX ON {{}} ({layout.key})").format(table)
        connection.execute(statement)
    lines = _lines(connection, layout)
    with psycopg.connect(on.admin_url, autocommit=True) as admin:
        # The first change of a page after it is written whole: alike for all.
        admin.execute("CHECKPOINT")
    before, started = world.wal_bytes(connection), time.perf_counter()
    if layout.by_row:
        _write_rows(connection, table)
    else:
        _write_batches(connection, table, lines, plan.batch)
    seconds = time.perf_counter() - started
    wal_bytes = world.wal_bytes(connection) - before
    connection.execute(sql.SQL("VACUUM (ANALYZE) {}").format(table))
    sizes = db.one(
        connection.execute(
            "SELECT pg_relation_size($1::regclass) AS heap, pg_indexes_size($1::regclass) AS index",
            [f"layout_{layout.name}"],
        )
    )
    found = {
        "heap_bytes": round(sizes["heap"] / len(lines), 1),
        "index_bytes": round(sizes["index"] / len(lines), 1),
        "wal_bytes": round(wal_bytes / len(lines), 1),
        "pings_per_s": round(len(lines) / seconds),
    }
    if sizes["index"]:
        found["track_blocks"] = _track_blocks(connection, table, plan.students)
    return found


def _lines(connection: db.DirectConnection, layout: _Layout) -> list[bytes]:
    """All pings in COPY's text form."""
    query = sql.SQL(f"COPY (SELECT {layout.select} FROM staged) TO STDOUT")
    with connection.cursor() as cursor, cursor.copy(query) as copy:
        return [bytes(line) for line in copy]


def _write_batches(
    connection: db.DirectConnection,
    table: sql.Identifier,
    lines: Sequence[bytes],
    batch: int,
) -> None:
    statement = sql.SQL(f"COPY {{}} ({_COLUMNS}) FROM STDIN").format(table)
    for start in range(0, len(lines), batch):
        with connection.cursor() as cursor, cursor.copy(statement) as copy:
            copy.write(b"".join(lines[start : start + batch]))


def _write_rows(connection: db.DirectConnection, table: sql.Identifier) -> None:
    """A transaction for each; its flush is not waited for, which changes no byte."""
    connection.execute("SET synchronous_commit = off")
    connection.execute(sql.SQL(_EACH).format(table=table, columns=sql.SQL(_COLUMNS)))
    connection.execute("RESET synchronous_commit")


def _track_blocks(connection: db.DirectConnection, table: sql.Identifier, students: int) -> float:
    """Blocks that are looked at for so many points of one student."""
    query = sql.SQL(
        "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON)"
        ' SELECT "timestamp", latitude, longitude, accuracy, speed, received_at'
        ' FROM {} WHERE student_id = {} ORDER BY "timestamp" DESC LIMIT {}'
    )
    blocks: list[int] = []
    for student in range(1, students, max(1, students // 20)):
        statement = query.format(table, sql.Literal(student), sql.Literal(_TRACK_POINTS))
        plan = db.one(connection.execute(statement))["QUERY PLAN"][0]["Plan"]
        blocks.append(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])
    return statistics.median(blocks)
