"""The newest ping of a student, or of many."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Sequence

import asyncpg

from geoingest import db
from geoingest.bearer import Bearer
from geoingest.tracking import acting, shapes

# Most students were seen today; this window lies in one month, or two.
_RECENT = datetime.timedelta(days=1)
# Devices' clocks may be ahead; what was accepted is found.
_AHEAD = datetime.timedelta(hours=1)
_NEVER = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)


async def warm(connection: db.Connection) -> None:
    """Asks for nobody on a new connection, to which otherwise the first question costs ten times as much."""
    with contextlib.suppress(asyncpg.PostgresError):
        nobody = acting.Acting(connection, Bearer(0), [])
        await fetch(nobody, 0, horizon=_NEVER, now=_NEVER)


async def fetch(
    asking: acting.Asking,
    student_id: int,
    *,
    horizon: datetime.datetime,
    now: datetime.datetime,
) -> shapes.Location | None:
    """The newest ping since the horizon: first among the recent, which touches two partitions at most."""
    end = now + _AHEAD
    recent = max(horizon, now - _RECENT)
    query = db.queries()["newest_ping"]
    row = await asking.fetchrow(query, student_id, recent, end)
    if row is None:
        row = await asking.fetchrow(query, student_id, horizon, recent)
    return None if row is None else shapes.Location(*row.values())


async def fetch_many(
    asking: acting.Asking,
    students: Sequence[int],
    *,
    horizon: datetime.datetime,
    now: datetime.datetime,
) -> list[shapes.Location]:
    """The newest ping of each of these students that has one, in the order of their ids."""
    end = now + _AHEAD
    recent = max(horizon, now - _RECENT)
    query = db.queries()["newest_pings"]
    rows = await asking.fetch(query, students, recent, end)
    found = {row["student_id"] for row in rows}
    silent = [student for student in students if student not in found]
    if silent:
        rows += await asking.fetch(query, silent, horizon, recent)
    locations = [shapes.Location(*row.values()) for row in rows]
    return sorted(locations, key=lambda one: one.student_id)
