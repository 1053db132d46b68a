"""A track as pings, hours or days: whatever the page size, everything comes once and in order."""

from __future__ import annotations

import collections
import datetime
import itertools
import random
from collections.abc import AsyncIterator, Sequence
from typing import Any, Literal

import pytest

from geoingest import connections, db, errors
from geoingest.tracking import cursor, shapes, track
from tests import conftest, rollups

NOW = rollups.now()
HORIZON, OLDEST = NOW - 3 * rollups.DAY, NOW - 5 * rollups.DAY
ROLLED_TO = NOW - 2 * rollups.HOUR
LIMITS = (1, 2, 5, 17, 100, track.MOST_POINTS)
_COLUMNS = ", ".join(shapes.HourPoint.__struct_fields__[1:])


@pytest.fixture
async def connection(database: conftest.Database) -> AsyncIterator[db.Connection]:
    """A connection as the service has it."""
    made = await connections.connect(database.url)
    yield made
    await made.close()


def _window(
    chance: random.Random, resolution: track.Resolution, *, since: datetime.datetime
) -> track.Window:
    ends = [since + chance.random() * (NOW + rollups.HOUR - since) for _ in range(2)]
    return track.Window(min(ends), max(ends), HORIZON, OLDEST, resolution)


async def _walk(connection: db.Connection, window: track.Window, *, limit: int) -> list[track.Page]:
    """All pages, each cursor written and read again on the way."""
    after: cursor.Cursor | None = await track.fitting(connection, 1, window, limit=limit)
    pages: list[track.Page] = []
    while after is not None:
        page = await track.fetch(connection, 1, window, after, limit=limit)
        assert len(pages) < 2_000
        pages.append(page)
        text = cursor.write(page.following)
        after = cursor.read(text) if text else None
    return pages


def _seed(database: conftest.Database, chance: random.Random) -> list[rollups.Fix]:
    """Six days of a student, of a school whose hours begin in the middle of UTC's."""
    zone = chance.choice(("UTC", "Asia/Kolkata", "Pacific/Auckland"))
    database.query("TRUNCATE schools, students, geolocation_data CASCADE")
    database.query("TRUNCATE geolocation_hourly, geolocation_daily")
    database.query("INSERT INTO schools (school_id, time_zone) VALUES (1, $1)", zone)
    database.query("INSERT INTO students (student_id, school_id) VALUES (1, 1)")
    fixes = rollups.wander(chance, NOW - 6 * rollups.DAY, NOW, count=300)
    rollups.store(database, 1, fixes)
    rollups.roll(database, ROLLED_TO)
    return fixes


def _points(pages: Sequence[track.Page]) -> list[Any]:
    return [point for page in pages for point in page.points]


async def test_any_page_size_gives_what_the_table_has(
    database: conftest.Database, connection: db.Connection, subtests: pytest.Subtests
) -> None:
    """Pings since the horizon, rollups since theirs, in the window by their pings: each once, in order."""
    resolutions: tuple[shapes.Resolution, ...] = ("raw", "hour", "day")

    for seed in range(2):
        chance = random.Random(seed)
        fixes = _seed(database, chance)
        for resolution, limit in itertools.product(resolutions, LIMITS):
            with subtests.test(f"seed {seed}, {resolution}, {limit} per page"):
                window = _window(chance, resolution, since=NOW - 7 * rollups.DAY)
                pages = await _walk(connection, window, limit=limit)

                assert {page.resolution for page in pages} == {resolution}
                assert all(len(page.points) == limit for page in pages[:-1])
                if resolution == "raw":
                    start = max(window.start, HORIZON)
                    wanted = [one[:2] for one in fixes if start <= one.timestamp < window.end]
                    assert [(one.timestamp, one.device_id) for one in _points(pages)] == wanted
                else:
                    assert _points(pages) == _kept(database, resolution, window)


def _kept(
    database: conftest.Database, resolution: Literal["hour", "day"], window: track.Window
) -> list[shapes.HourPoint | shapes.DayPoint]:
    """The rollups of the window as the whole table says."""
    points: list[shapes.HourPoint | shapes.DayPoint]
    if resolution == "hour":
        rows = database.query(f"SELECT hour, {_COLUMNS} FROM geolocation_hourly ORDER BY hour")  # noqa: S608  # names of ours
        points = [shapes.HourPoint(*row) for row in rows]  # type: ignore[arg-type]  # these columns
    else:
        rows = database.query(f"SELECT day, {_COLUMNS} FROM geolocation_daily ORDER BY day")  # noqa: S608  # names of ours
        points = [shapes.DayPoint(*row) for row in rows]  # type: ignore[arg-type]  # these columns
    return [
        one
        for one in points
        if one.last_at >= window.start and one.first_at < window.end
        if (one.timestamp if isinstance(one, shapes.HourPoint) else one.first_at) >= OLDEST
    ]


async def test_auto_counts_every_ping_once(
    database: conftest.Database, connection: db.Connection, subtests: pytest.Subtests
) -> None:
    """Hours or days first, then pings: what one part has counted the other does not show."""
    kinds = collections.Counter[str]()

    for seed in range(4):
        chance = random.Random(seed)
        fixes = _seed(database, chance)
        for limit in LIMITS:
            with subtests.test(f"seed {seed}, {limit} per page"):
                window = _window(chance, "auto", since=OLDEST + rollups.DAY)
                pages = await _walk(connection, window, limit=limit)
                kinds.update(page.resolution for page in pages)

                _check_once(fixes, pages, window)

    assert set(kinds) == {"raw", "hour", "day"}


def _check_once(
    fixes: Sequence[rollups.Fix], pages: Sequence[track.Page], window: track.Window
) -> None:
    """Every ping of the window is in one rollup or is a point; nothing is in two."""
    order = [page.resolution for page in pages]
    assert order == sorted(order, key=lambda one: one == "raw")
    assert len(set(order) - {"raw"}) <= 1
    shown = collections.Counter[tuple[datetime.datetime, int]]()
    for point in _points(pages):
        if isinstance(point, shapes.Point):
            assert point.timestamp >= window.horizon
            shown[point.timestamp, point.device_id] += 1
        else:
            within = [one[:2] for one in fixes if point.first_at <= one.timestamp <= point.last_at]
            assert len(within) == point.pings
            shown.update(within)
    assert set(shown.values()) <= {1}
    # Late ones are not rolled up yet, and are shown only since the horizon.
    wanted = {one[:2] for one in fixes if window.start <= one.timestamp < window.end}
    assert wanted <= set(shown)


async def test_a_border_that_counts_twice_would_be_noticed(
    database: conftest.Database, connection: db.Connection
) -> None:
    """The proof can fail: pings from the horizon on, instead of behind the hour that it cuts."""
    fixes, window = _over_the_border(database)

    right = await _walk(connection, window, limit=100)
    hours, _ = right
    wrong = await track.fetch(connection, 1, window, cursor.Cursor("raw"), limit=100)

    _check_once(fixes, right, window)
    with pytest.raises(AssertionError):
        _check_once(fixes, [hours, wrong], window)


def _over_the_border(database: conftest.Database) -> tuple[list[rollups.Fix], track.Window]:
    """A ping each quarter, five hours before a horizon in the middle of an hour and five after it."""
    horizon = HORIZON.replace(minute=30, second=0)
    quarter = datetime.timedelta(minutes=15)
    fixes = [rollups.Fix(horizon + one * quarter, 5, 52.5, 13.4) for one in range(-20, 20)]
    rollups.store(database, 1, fixes)
    rollups.roll(database, ROLLED_TO)
    return fixes, track.Window(horizon - rollups.DAY, NOW, horizon, OLDEST, "auto")


async def test_pages_stay_right_while_things_change(
    database: conftest.Database, connection: db.Connection
) -> None:
    """Between two pages a late ping is rolled up and time goes on: no hour comes twice, none is left out."""
    _, window = _over_the_border(database)
    first = await track.fetch(connection, 1, window, cursor.Cursor("hour"), limit=2)
    assert first.following is not None
    (shown, last) = first.points
    assert isinstance(last, shapes.HourPoint)

    late = rollups.Fix(last.last_at + datetime.timedelta(seconds=1), 5, 52.5, 13.4)
    rollups.store(database, 1, [late])
    rollups.roll(database, ROLLED_TO)
    later = window._replace(horizon=window.horizon + rollups.HOUR)
    second = await track.fetch(connection, 1, later, first.following, limit=100)

    begins = [one.timestamp for one in (shown, last, *second.points)]  # type: ignore[union-attr]
    assert begins == [begins[0] + one * rollups.HOUR for one in range(len(begins))]
    assert begins[-1] <= later.horizon < begins[-1] + rollups.HOUR
    assert second.following is not None
    third = await track.fetch(connection, 1, later, second.following, limit=100)
    assert third.points[0].timestamp >= later.horizon  # type: ignore[union-attr]


async def test_auto_takes_the_finest_that_fits(
    database: conftest.Database, connection: db.Connection
) -> None:
    """Pings where they fit on a page, then hours, then days; before the horizon there are no pings."""
    fixes = [
        rollups.Fix(NOW - one * datetime.timedelta(minutes=20), 5, 52.5, 13.4)
        for one in range(4 * 72)
    ]
    rollups.store(database, 1, fixes)
    day = track.Window(NOW - rollups.DAY, NOW, HORIZON, OLDEST, "auto")
    all_kept = day._replace(start=OLDEST)

    before = await track.fitting(connection, 1, day, limit=10)
    rollups.roll(database, ROLLED_TO)
    found = {
        (window.start, limit): await track.fitting(connection, 1, window, limit=limit)
        for window in (day, all_kept)
        for limit in (10, 24, 100, 1000)
    }

    # Nothing is rolled up yet: there is nothing else to show.
    assert before == cursor.Cursor("raw")
    assert found == {
        (day.start, 10): cursor.Cursor("day", True),
        (day.start, 24): cursor.Cursor("hour", True),
        (day.start, 100): cursor.Cursor("raw"),
        (day.start, 1000): cursor.Cursor("raw"),
        (OLDEST, 10): cursor.Cursor("day", True),
        (OLDEST, 24): cursor.Cursor("day", True),
        (OLDEST, 100): cursor.Cursor("hour", True),
        (OLDEST, 1000): cursor.Cursor("hour", False),
    }


@pytest.mark.parametrize(
    "text", ["", "zzz", "AAAA", "/wAAAAAAAAAAAAAAAAAA", "AH__________AAAAAA==", "\u00e9"]
)
def test_a_cursor_of_ones_own_is_refused(text: str) -> None:
    """Too short, an unknown kind, an instant outside of the calendar, no base64 at all."""
    with pytest.raises(errors.BadQueryError, match="cursor: take it unchanged"):
        cursor.read(text)
