"""Real tracks, with the jumps and repeats of real receivers, through the whole program and back."""

from __future__ import annotations

import collections
import csv
import datetime
import gzip
import itertools
import pathlib
from collections.abc import Sequence

import orjson
import pytest

from geoingest import config, db
from geoingest.access import provision, roster
from geoingest.lifecycle import migrations, rollups
from geoingest.local import traces
from tests import conftest, processes, recount
from tests.oracle import counted, stored, told

# Beside the checkout; too large, and not ours, to be in it.
FILE = processes.ROOT.parent / "shared" / "data" / "geolife_sample.csv.gz"
DEVICES = 8
# The file spans five months.
DETAIL_DAYS = 200
REPLAY_SECONDS = 120.0
_COPY = (
    'COPY geolocation_data (student_id, "timestamp", device_id, latitude, longitude, received_at)'
    " FROM STDIN"
)

pytestmark = pytest.mark.skipif(
    not FILE.is_file(), reason="the GeoLife sample is not beside the checkout"
)


@pytest.fixture
def devices(database: conftest.Database) -> list[provision.Enrolled]:
    """One student with a device for each phone, in a database with months enough."""
    now = datetime.datetime.now(datetime.UTC)
    migrations.run(database.url, detail_days=DETAIL_DAYS, now=now)
    with db.direct(database.url) as connection, connection.transaction():
        return provision.bulk(connection, DEVICES)


async def test_every_fix_is_stored_once_and_all_again_are_duplicates(
    database: conftest.Database, devices: list[provision.Enrolled], tmp_path: pathlib.Path
) -> None:
    """Replayed twice: each distinct (device, timestamp) is one row, and every ping is accounted for."""
    until = datetime.datetime.now(datetime.UTC).replace(microsecond=0) - datetime.timedelta(hours=1)
    sent = _sent(devices, until)
    distinct = set(sent)
    tokens = tmp_path / "tokens.csv"
    with roster.create(tokens) as file:
        roster.write(file, devices)
    settings = {"GEOINGEST_DETAIL_DAYS": str(DETAIL_DAYS)}

    async with processes.serving(database, **settings) as service:
        first = await _replay(service, tokens, until, "native")
        after_first = counted.read(await service.metrics())
        rows = stored.rows(database)
        again = await _replay(service, tokens, until, "native")
        after_both = counted.read(await service.metrics())

    assert rows == collections.Counter(distinct)
    assert database.query("SELECT count(*) FROM geolocation_data") == [(len(distinct),)]
    assert (first["posted"], first["stored"]) == (len(sent), len(distinct))
    assert first["duplicate"] == len(sent) - len(distinct)
    assert (again["stored"], again["duplicate"]) == (0, len(sent))
    assert after_first.missing == after_both.missing == 0
    assert after_first.stored == after_both.stored == len(distinct)
    assert after_both.rejected == 0


async def test_by_overland_every_fix_is_stored_once(
    database: conftest.Database, devices: list[provision.Enrolled], tmp_path: pathlib.Path
) -> None:
    """Also what comes in batches of an app's own: the same rows, and none dropped."""
    until = datetime.datetime.now(datetime.UTC).replace(microsecond=0) - datetime.timedelta(hours=1)
    sent = _sent(devices, until)
    tokens = tmp_path / "tokens.csv"
    with roster.create(tokens) as file:
        roster.write(file, devices)

    async with processes.serving(database, GEOINGEST_DETAIL_DAYS=str(DETAIL_DAYS)) as service:
        summary = await _replay(service, tokens, until, "overland")
        counts = counted.read(await service.metrics())

    assert stored.rows(database) == collections.Counter(set(sent))
    assert (summary["acked"], summary["dropped"]) == (len(sent), 0)
    assert (counts.missing, counts.rejected) == (0, 0)


def test_daily_distances_are_those_of_the_track(database: conftest.Database) -> None:
    """Rolled up, each day is as long as its steps, and the hours hold every row."""
    now = datetime.datetime.now(datetime.UTC)
    migrations.run(database.url, detail_days=DETAIL_DAYS, now=now)
    track = _track(now.replace(microsecond=0) - datetime.timedelta(hours=2))
    with db.direct(database.url) as connection:
        with connection.cursor().copy(_COPY) as copy:
            for fix in track:
                copy.write_row((*fix[:5], now))
        rollups.run_once(connection, config.Config(detail_days=DETAIL_DAYS), now)

    direct: dict[object, float] = collections.defaultdict(float)
    for one, other in itertools.pairwise(track):
        day = (other.student_id, other.timestamp.date())
        if day == (one.student_id, one.timestamp.date()):
            direct[day] += recount.metres(one, other)
    rolled = database.query("SELECT student_id, day, distance_m FROM geolocation_daily")
    assert len(rolled) > 70
    for student_id, date, distance_m in rolled:
        assert distance_m == pytest.approx(direct[student_id, date], rel=0.005, abs=0.01)
    assert database.query(
        "SELECT (SELECT sum(pings) FROM geolocation_hourly), (SELECT sum(pings) FROM geolocation_daily)"
    ) == [(len(track), len(track))]


def _track(until: datetime.datetime) -> list[recount.Fix]:
    """Every distinct fix of the file, a student for each person, the last one at `until`."""
    with gzip.open(FILE, "rt") as file:
        read = [
            (int(row["uid"]), datetime.datetime.fromisoformat(row["datetime"] + "+00:00"), row)
            for row in csv.DictReader(file)
        ]
    by = until - max(at for _, at, _ in read)
    fixes = {
        (uid, at): recount.Fix(uid, at + by, 7, float(row["lat"]), float(row["lng"]))
        for uid, at, row in read
    }
    return [fixes[key] for key in sorted(fixes)]


def _sent(devices: Sequence[provision.Enrolled], until: datetime.datetime) -> list[told.Key]:
    """The key of each fix: phone N replays every eighth trip from the Nth on, the last fix at `until`."""
    trips = traces.read(FILE)
    by = until - max(fix.timestamp for trip in trips for fix in trip)
    return [
        (device.student_id, fix.timestamp + by, device.device_id)
        for number, device in enumerate(devices)
        for trip in trips[number :: len(devices)]
        for fix in trip
    ]


async def _replay(
    service: processes.Service, tokens: pathlib.Path, until: datetime.datetime, protocol: str
) -> dict[str, float]:
    """One run of `geoingest simulate --fast`; its summary."""
    arguments = {
        "--protocol": protocol,
        "--trace": str(FILE),
        "--until": f"{until:%Y-%m-%dT%H:%M:%SZ}",
        "--devices": str(DEVICES),
        "--tokens": str(tokens),
        "--url": service.url,
    }
    flat = [part for pair in arguments.items() for part in pair]
    with processes.Process("simulate", "--fast", *flat, environment={}) as simulate:
        assert await simulate.ended(seconds=REPLAY_SECONDS) == 0
        summary: dict[str, float] = orjson.loads(simulate.output().splitlines()[-1])
    return summary
