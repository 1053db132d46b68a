"""Tracks of many years can be taken, read and rolled up: GEOINGEST_DETAIL_DAYS goes that far."""

from __future__ import annotations

import datetime

import pytest

from geoingest import config, db, errors
from geoingest.access import provision
from geoingest.lifecycle import migrations, partitions, rollups
from tests import conftest

_DAYS = 3650
_DAY = datetime.timedelta(days=1)


@pytest.fixture
def now() -> datetime.datetime:
    """One moment for the whole test."""
    return datetime.datetime.now(datetime.UTC).replace(microsecond=0)


async def test_ten_years_are_taken_read_and_rolled_up(
    database: conftest.Database,
    start: conftest.Start,
    school: list[provision.Enrolled],
    now: datetime.datetime,
) -> None:
    """Every month of the window is there; one day beyond it is too old."""
    made = migrations.run(database.url, detail_days=_DAYS, now=now)
    settings = database.settings(detail_days=_DAYS, database_replica_url="")
    running = await start(settings)
    student = school[0]
    ages = [_DAYS + 1, _DAYS - 1, 5 * 365, 100]
    times = [now - age * _DAY for age in ages]
    pings = [{"timestamp": at.isoformat(), "latitude": 52.5, "longitude": 13.4} for at in times]

    async with running.client.post(
        "/v1/pings", json=pings, headers={"Authorization": f"Bearer {student.device_token}"}
    ) as answer:
        told = await answer.json()
    as_viewer = {"Authorization": f"Bearer {student.viewer_token}"}
    path = f"/v1/students/{student.student_id}"
    async with running.client.get(f"{path}/location", headers=as_viewer) as answer:
        newest = await answer.json()
    window = {"from": (now - _DAYS * _DAY).isoformat(), "to": now.isoformat(), "resolution": "raw"}
    async with running.client.get(f"{path}/track", params=window, headers=as_viewer) as answer:
        track = await answer.json()
    with db.direct(database.url) as connection:
        months = partitions.attached(connection)
        rollups.run_once(connection, settings, now)

    assert len(made) > 110
    assert months == partitions.wanted(now, detail_days=_DAYS)
    assert (told["stored"], told["rejected"]) == (3, [{"index": 0, "reason": "too_old"}])
    assert datetime.datetime.fromisoformat(newest["timestamp"]) == times[-1]
    assert [datetime.datetime.fromisoformat(one["timestamp"]) for one in track["points"]] == times[
        1:
    ]
    assert database.query("SELECT sum(pings) FROM geolocation_daily") == [(3,)]


def test_more_years_than_a_receiver_can_tell_are_no_setting() -> None:
    """Before 1999 no clock of a receiver is right, and every month would be a table."""
    with pytest.raises(errors.SettingsError, match="GEOINGEST_DETAIL_DAYS=10001 is out of range"):
        config.load({"GEOINGEST_DETAIL_DAYS": "10001"})
