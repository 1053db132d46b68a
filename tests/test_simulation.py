"""`geoingest simulate` with each app's protocol: every fix of a trace arrives, and the sums say so."""

from __future__ import annotations

import datetime
import itertools
import pathlib

import orjson
import pytest

from geoingest import db
from geoingest.access import provision, roster
from geoingest.local import clients
from tests import conftest, processes
from tests.oracle import stored

_FIXES = 250
_STEP = datetime.timedelta(seconds=2)
_SECONDS = 60.0


def _trace(path: pathlib.Path, people: int) -> pathlib.Path:
    """A trip of so many fixes for each of so many people."""
    lines = ["uid,datetime,lat,lng"]
    start = datetime.datetime(2008, 10, 23, tzinfo=datetime.UTC)
    for person in range(people):
        for number in range(_FIXES):
            at = start + datetime.timedelta(minutes=person) + number * _STEP
            lines.append(f"{person},{at:%Y-%m-%d %H:%M:%S},52.5,{13 + number / 1000}")
    path.write_text("\n".join(lines))
    return path


def _tokens(path: pathlib.Path, students: list[provision.Enrolled]) -> pathlib.Path:
    with roster.create(path) as file:
        roster.write(file, students)
    return path


async def _simulated(service: processes.Service, *arguments: object) -> dict[str, float]:
    """One run to its end; its summary."""
    words = ["simulate", "--url", service.url, *map(str, arguments)]
    with processes.Process(*words, environment={}) as simulate:
        assert await simulate.ended(seconds=_SECONDS) == 0
        summary: dict[str, float] = orjson.loads(simulate.output().splitlines()[-1])
    return summary


async def test_every_fix_of_a_trace_arrives_by_every_protocol(
    database: conftest.Database, tmp_path: pathlib.Path
) -> None:
    """A phone with each version of each app; what was acked is stored, and only ours tell more."""
    with db.direct(database.url) as connection, connection.transaction():
        students = iter(provision.bulk(connection, sum(map(len, clients.PROTOCOLS.values()))))
    summaries: dict[str, dict[str, float]] = {}

    async with processes.serving(database) as service:
        for protocol, variants in clients.PROTOCOLS.items():
            mine = list(itertools.islice(students, len(variants)))
            tokens = _tokens(tmp_path / f"{protocol}.csv", mine)
            trace = _trace(tmp_path / f"{protocol}-trace.csv", len(mine))
            summaries[protocol] = await _simulated(
                service,
                *("--protocol", protocol, "--devices", len(mine), "--tokens", tokens),
                *("--fast", "--trace", trace),
            )

    for protocol, summary in summaries.items():
        count = _FIXES * len(clients.PROTOCOLS[protocol])
        assert (summary["posted"], summary["acked"], summary["dropped"]) == (count, count, 0)
        assert ("stored" in summary) == (protocol == "native")
    assert len(stored.rows(database)) == sum(one["acked"] for one in summaries.values())
    assert summaries["overland"]["requests"] < _FIXES


@pytest.mark.parametrize("protocol", ["native", "owntracks"])
async def test_phones_walk_with_any_app(
    database: conftest.Database,
    school: list[provision.Enrolled],
    tmp_path: pathlib.Path,
    protocol: str,
) -> None:
    """A fix each second, until told to end."""
    tokens = _tokens(tmp_path / "tokens.csv", school)

    async with processes.serving(database) as service:
        summary = await _simulated(
            service,
            *("--protocol", protocol, "--tokens", tokens),
            *("--interval", 1, "--seconds", 4),
        )

    rows = stored.rows(database)
    assert len({student_id for student_id, _, _ in rows}) == len(school)
    assert len(rows) >= summary["acked"] >= 2 * len(school)
    assert summary["dropped"] == 0
