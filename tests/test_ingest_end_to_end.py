"""A phone's request becomes committed rows, and the answer says what became of each ping."""

from __future__ import annotations

import datetime
import gzip
import json
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import pytest

from geoingest import db
from geoingest.access import provision
from tests import conftest

NDJSON = {"Content-Type": "application/x-ndjson"}
GZIP = {"Content-Encoding": "gzip"}


class _Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: dict[str, Any]


def _ping(**changes: object) -> dict[str, object]:
    now = datetime.datetime.now(datetime.UTC).isoformat()
    return {"timestamp": now, "latitude": 52.5, "longitude": 13.4, **changes}


def _series(count: int) -> list[dict[str, object]]:
    """As many pings, a second apart, all of the past hour."""
    start = time.time() - 3600
    return [_ping(timestamp=round(start + second, 3)) for second in range(count)]


def _lines(pings: list[dict[str, object]]) -> bytes:
    return b"\n".join(json.dumps(one).encode() for one in pings)


async def _post(
    running: conftest.Running,
    token: str,
    body: bytes | object,
    headers: Mapping[str, str] | None = None,
) -> _Answer:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    async with running.client.post(
        "/v1/pings", data=data, headers={**sent, **(headers or {})}, allow_redirects=False
    ) as answer:
        return _Answer(answer.status, answer.headers, json.loads(await answer.read()))


@pytest.fixture
async def phone(running: conftest.Running, school: list[provision.Enrolled]) -> provision.Enrolled:
    """A student whose device the running service knows."""
    await running.service.credentials.refresh()
    return school[0]


async def test_a_ping_is_stored_before_the_answer(
    running: conftest.Running, database: conftest.Database, phone: provision.Enrolled
) -> None:
    """200 with stored 1 means that the row is there."""
    sent_at = datetime.datetime.now(datetime.UTC)

    answer = await _post(running, phone.device_token, _ping(battery=50.4, speed=1.5, course=90))

    assert (answer.status, answer.body) == (
        200,
        {"received": 1, "stored": 1, "duplicate": 0, "rejected": []},
    )
    columns = "student_id, device_id, latitude, battery, speed, course, altitude, received_at >= $1"
    assert database.query(f"SELECT {columns} FROM geolocation_data", sent_at) == [  # noqa: S608
        (phone.student_id, phone.device_id, 52.5, 50, 1.5, 90.0, None, True)
    ]


async def test_every_form_of_a_body_is_taken(
    running: conftest.Running, database: conftest.Database, phone: provision.Enrolled
) -> None:
    """Object, array and NDJSON, plain and gzipped, become the same rows; an empty array none."""
    forms: list[tuple[bytes, dict[str, str]]] = []
    batch = _series(13)
    forms += [(json.dumps(batch[0]).encode(), {}), (json.dumps(batch[1:3]).encode(), {})]
    forms += [(_lines(batch[3:6]), NDJSON), (_lines(batch[6:8]) + b"\n\n", NDJSON)]
    forms += [(gzip.compress(json.dumps(batch[8:10]).encode()), GZIP)]
    forms += [(gzip.compress(_lines(batch[10:13])), {**GZIP, **NDJSON}), (b"[]", {})]

    answers = [await _post(running, phone.device_token, body, more) for body, more in forms]

    assert [one.status for one in answers] == [200] * len(forms)
    assert [one.body["stored"] for one in answers] == [1, 2, 3, 2, 2, 3, 0]
    stored = database.query('SELECT extract(epoch FROM "timestamp") FROM geolocation_data')
    assert sorted(float(str(one)) for (one,) in stored) == [one["timestamp"] for one in batch]


async def test_an_instant_may_be_written_in_four_ways(
    running: conftest.Running, database: conftest.Database, phone: provision.Enrolled
) -> None:
    """Unix seconds, milliseconds and RFC 3339 in any zone are the same instant, thus duplicates."""
    instant = datetime.datetime.now(datetime.UTC).replace(microsecond=125_000)
    elsewhere = datetime.timezone(datetime.timedelta(hours=5, minutes=30))
    forms: list[object] = [instant.timestamp(), round(instant.timestamp() * 1000)]
    forms += [instant.isoformat(), instant.astimezone(elsewhere).isoformat()]

    answer = await _post(running, phone.device_token, [_ping(timestamp=one) for one in forms])

    assert (answer.body["stored"], answer.body["duplicate"]) == (1, 3)
    assert database.query('SELECT "timestamp" FROM geolocation_data') == [(instant,)]


def _poisons() -> dict[str, tuple[str, str]]:
    """Each kind of ping that no row can come of: the reason it gets, and its JSON text."""
    now = time.time()

    def text(**changes: object) -> str:
        return json.dumps(_ping(**changes))

    missing_timestamp, missing_latitude = _ping(), _ping()
    del missing_timestamp["timestamp"], missing_latitude["latitude"]
    return {
        "latitude 91": ("latitude_out_of_range", text(latitude=91)),
        "longitude -180.1": ("longitude_out_of_range", text(longitude=-180.1)),
        "NaN": ("not_finite", text(latitude=float("nan"))),
        "infinity": ("not_finite", text(longitude=float("inf"))),
        "wrong type": ("malformed", text(latitude="52.5")),
        "latitude true": ("malformed", text(latitude=True)),
        "no latitude": ("malformed", json.dumps(missing_latitude)),
        "no timestamp": ("missing_timestamp", json.dumps(missing_timestamp)),
        "timestamp null": ("missing_timestamp", text(timestamp=None)),
        "far future": ("in_future", text(timestamp=now + 3600)),
        "year 9999": ("in_future", text(timestamp="9999-12-31T23:59:59Z")),
        "91 days old": ("too_old", text(timestamp=now - 91 * 86_400)),
        "before Christ": ("too_old", text(timestamp=-1e300)),
        "naive time": ("malformed", text(timestamp="2026-11-22T10:00:00")),
        "NUL in a string": ("malformed", text(timestamp="2026\x00")),
        "lone surrogate": ("malformed", text(timestamp="\ud800")),
        "integer overflow": ("malformed", text(student_id=2**63)),
        "integer without end": ("malformed", text(student_id=10**40)),
        "someone else": ("unknown_student", text(student_id=2**62)),
        "no object": ("malformed", "null"),
    }


async def test_one_bad_ping_harms_no_neighbour(
    running: conftest.Running,
    database: conftest.Database,
    phone: provision.Enrolled,
    subtests: pytest.Subtests,
) -> None:
    """Among 99 good pings each kind of poison alone is rejected with its reason and quarantined."""
    # Once, so that the milliseconds added below tell the kinds apart.
    series = _series(99)
    for number, (kind, (reason, poison)) in enumerate(_poisons().items()):
        with subtests.test(kind):
            good = [
                json.dumps(
                    {
                        **one,
                        "longitude": number,
                        "timestamp": float(str(one["timestamp"])) + number / 1000,
                    }
                )
                for one in series
            ]
            body = "[" + ",".join([*good[:50], poison, *good[50:]]) + "]"

            answer = await _post(running, phone.device_token, body.encode())

            assert answer.status == 200
            assert answer.body["rejected"] == [{"index": 50, "reason": reason}]
            assert (answer.body["received"], answer.body["stored"]) == (100, 99)
            count = "SELECT count(*) FROM geolocation_data WHERE longitude = $1"
            assert database.query(count, number) == [(99,)]
            assert database.query(
                "WITH gone AS (DELETE FROM rejected_pings RETURNING *)"
                " SELECT reason, device_id, octet_length(raw) BETWEEN 1 AND 1024 FROM gone"
            ) == [(reason, phone.device_id, True)]


async def test_a_broken_line_harms_no_other_line(
    running: conftest.Running, database: conftest.Database, phone: provision.Enrolled
) -> None:
    """In NDJSON a line that is no JSON is one rejected ping; quarantine keeps its first kilobyte."""
    good = [_lines([one]) for one in _series(2)]
    broken = b'{"timestamp": \xff\x00' + b"x" * 3000

    answer = await _post(
        running, phone.device_token, b"\n".join([good[0], broken, good[1]]), NDJSON
    )

    assert (answer.status, answer.body["stored"]) == (200, 2)
    assert answer.body["rejected"] == [{"index": 1, "reason": "malformed"}]
    assert database.query("SELECT raw FROM rejected_pings") == [(broken[:1024],)]


async def test_nonsense_in_an_optional_field_costs_only_its_value(
    running: conftest.Running, database: conftest.Database, phone: provision.Enrolled
) -> None:
    """Such a field is stored as NULL and listed under ignored; the position is kept."""
    first, second = _series(2)
    nonsense = {"accuracy": -1, "altitude": "high", "speed": [], "course": 361, "battery": 150}

    answer = await _post(running, phone.device_token, [first, {**second, **nonsense}])

    assert (answer.status, answer.body["stored"], answer.body["rejected"]) == (200, 2, [])
    assert answer.body["ignored"] == [{"index": 1, "field": name} for name in nonsense]
    query = "SELECT num_nonnulls(accuracy, altitude, speed, course, battery) FROM geolocation_data"
    assert database.query(query) == [(0,), (0,)]


async def test_duplicates_are_counted_and_never_stored_twice(
    running: conftest.Running, database: conftest.Database, phone: provision.Enrolled
) -> None:
    """The same student, device and timestamp is one row, within a body and across bodies."""
    first, second, third = _series(3)

    answers = [
        await _post(running, phone.device_token, body)
        for body in ([first, first, second], [second, third, {**third, "latitude": 91}], first)
    ]

    counts = [(one.body["stored"], one.body["duplicate"]) for one in answers]
    assert counts == [(2, 1), (1, 1), (0, 1)]
    assert all(
        one.body["received"]
        == one.body["stored"] + one.body["duplicate"] + len(one.body["rejected"])
        for one in answers
    )
    assert database.query("SELECT count(*) FROM geolocation_data") == [(3,)]


async def test_an_empty_array_after_duplicates_is_as_harmless_as_any(
    database: conftest.Database, start: conftest.Start, school: list[provision.Enrolled]
) -> None:
    """A writer that expects duplicates answers an empty request too, and goes on."""
    running = await start(database.settings(writers=1))
    await running.service.credentials.refresh()
    token, first = school[0].device_token, _ping()
    bodies: list[object] = [first, first, [], _ping()]

    answers = [await _post(running, token, body) for body in bodies]

    assert [one.status for one in answers] == [200] * 4
    assert [one.body["stored"] for one in answers] == [1, 0, 0, 1]


async def test_a_gateway_names_the_student_of_each_ping(
    running: conftest.Running, database: conftest.Database, school: list[provision.Enrolled]
) -> None:
    """A bus unit's pings go to the students it names; without a known name they are rejected."""
    with db.direct(database.url) as connection:
        device_id, token = provision.add_device(connection, None)
    await running.service.credentials.refresh()
    named = [school[0].student_id, school[1].student_id, 10**9, None]
    body = [{**_ping(), "student_id": one} for one in named]

    answer = await _post(running, token, [*body, _ping()])

    assert answer.body["stored"] == 2
    assert answer.body["rejected"] == [
        {"index": index, "reason": "unknown_student"} for index in (2, 3, 4)
    ]
    query = "SELECT student_id, device_id FROM geolocation_data ORDER BY student_id"
    assert database.query(query) == [(one.student_id, device_id) for one in sorted(school[:2])]
