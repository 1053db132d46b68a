"""Real tracks, with the jumps and repeats of real receivers, through the whole program and back."""

from __future__ import annotations

import collections
import datetime
import pathlib
from collections.abc import Sequence

import orjson
import pytest

from geoingest import db
from geoingest.access import provision, roster
from geoingest.lifecycle import migrations
from geoingest.local import traces
from tests import conftest, processes
from tests.oracle import counted, stored, told

# Beside the checkout; too large, and not ours, to be in it.
FILE = processes.ROOT.parent / "shared" / "data" / "geolife_sample.csv.gz"
DEVICES = 8
# The file spans five months.
DETAIL_DAYS = 200
REPLAY_SECONDS = 120.0

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
        first = await _replay(service, tokens, until)
        after_first = counted.read(await service.metrics())
        rows = stored.rows(database)
        again = await _replay(service, tokens, until)
        after_both = counted.read(await service.metrics())

    assert rows == collections.Counter(distinct)
    assert database.query("SELECT count(*) FROM geolocation_data") == [(len(distinct),)]
    assert (first["posted"], first["stored"]) == (len(sent), len(distinct))
    assert first["duplicate"] == len(sent) - len(distinct)
    assert (again["stored"], again["duplicate"]) == (0, len(sent))
    assert after_first.missing == after_both.missing == 0
    assert after_first.stored == after_both.stored == len(distinct)
    assert after_both.rejected == 0


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
    service: processes.Service, tokens: pathlib.Path, until: datetime.datetime
) -> dict[str, float]:
    """One run of `geoingest simulate --fast`; its summary."""
    arguments = {
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
