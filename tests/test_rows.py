"""The bytes and arrays we build are, to PostgreSQL, exactly the pings they were built from."""

from __future__ import annotations

import itertools
import struct
from typing import Any, TypeAlias

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from geoingest import connections, db, ping
from geoingest.ingest import rows
from tests import conftest, test_ping

_Rows: TypeAlias = set[ping.Ping]
_OPTIONAL = {"accuracy": 12.5, "altitude": -3.25, "speed": 0.0, "course": 360.0, "battery": 0}


def test_the_columns_are_those_of_the_table(database: conftest.Database) -> None:
    """COPY names every column of geolocation_data, in the order of a ping."""
    found = database.query(
        "SELECT attname FROM pg_attribute"
        " WHERE attrelid = 'geolocation_data'::regclass AND attnum > 0"
    )

    assert {name for (name,) in found} == set(rows.COLUMNS)
    assert len(found) == len(rows.COLUMNS) == len(ping.Ping._fields)


async def test_every_pattern_of_nulls(database: conftest.Database) -> None:
    """Each of the 32 patterns of missing optional values arrives as it left."""
    choices = itertools.product(*((None, value) for value in _OPTIONAL.values()))
    batch = [
        test_ping.row(number, **dict(zip(_OPTIONAL, chosen, strict=True)))
        for number, chosen in enumerate(choices)
    ]

    copied, inserted = await _written(database, batch)

    assert len(batch) == 32
    assert copied == inserted == _as_stored(batch)


@given(st.lists(test_ping.pings, min_size=1, max_size=30, unique_by=lambda one: one[:3]))
@settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
async def test_any_pings_come_back_exactly(
    database: conftest.Database, batch: list[ping.Ping]
) -> None:
    """COPY and INSERT .. unnest store the same rows: what was sent, as far as each type goes."""
    copied, inserted = await _written(database, batch)

    assert copied == _as_stored(batch)
    assert inserted == _as_stored(batch)


@given(test_ping.pings)
def test_a_row_is_read_back_and_begins_with_its_key(values: ping.Ping) -> None:
    """Decoding gives what was encoded, and the key alone encodes to the row's first bytes."""
    row = rows.encode(values)

    assert rows.decode(row) == values._replace(**_reals(values))
    assert row[rows.KEY] == rows.key(*values[:3])
    assert rows.greatest_age_seconds([row], row) == (
        (values.received_us - values.timestamp_us) / 1e6
    )


@given(st.lists(test_ping.pings, min_size=2, max_size=9))
def test_rows_sort_as_their_keys_do(batch: list[ping.Ping]) -> None:
    """Big-endian and never negative: the order of the bytes is that of student, timestamp, device."""
    encoded = sorted(map(rows.encode, batch))

    assert [one[:3] for one in map(rows.decode, encoded)] == sorted(one[:3] for one in batch)


@pytest.mark.parametrize(
    "wrong", [{"battery": 70_000}, {"student_id": 2**63}, {"device_id": 2**31}, {"speed": 1e300}]
)
def test_a_value_that_its_column_cannot_hold_is_not_cut_to_fit(wrong: dict[str, Any]) -> None:
    """Encoding raises instead of sending another value."""
    with pytest.raises((struct.error, OverflowError)):
        rows.encode(test_ping.row(**wrong))


async def _written(database: conftest.Database, batch: list[ping.Ping]) -> list[_Rows]:
    """What the table holds after a COPY, and after an INSERT, of these pings."""
    connection = await connections.connect(database.url)
    found = []
    try:
        for write in (_copy, _insert):
            transaction = connection.transaction()
            await transaction.start()
            await write(connection, batch)
            found.append({_read(one) for one in await connection.fetch("TABLE geolocation_data")})
            await transaction.rollback()
    finally:
        await connection.close()
    return found


async def _copy(connection: db.Connection, batch: list[ping.Ping]) -> None:
    await connection.copy_to_table(
        "geolocation_data",
        source=memoryview(rows.copy_bytes(map(rows.encode, batch))),  # type: ignore[arg-type]  # not in the stubs
        columns=rows.COLUMNS,
        format="binary",
    )


async def _insert(connection: db.Connection, batch: list[ping.Ping]) -> None:
    await connection.execute(
        db.queries()["insert_pings"], *rows.arrays(list(map(rows.encode, batch)))
    )


def _read(record: db.Record) -> ping.Ping:
    student_id, timestamp, device_id, *values, received_at = (record[name] for name in rows.COLUMNS)
    at, got = ping.instant_us(timestamp), ping.instant_us(received_at)
    return ping.Ping._make((student_id, at, device_id, *values, got))


def _as_stored(batch: list[ping.Ping]) -> _Rows:
    """The same pings with what `real` keeps of a float."""
    return {one._replace(**_reals(one)) for one in batch}


def _reals(one: ping.Ping) -> dict[str, Any]:
    return {name: _real(getattr(one, name)) for name in _OPTIONAL if name != "battery"}


def _real(value: float | None) -> float | None:
    return None if value is None else float(struct.unpack("f", struct.pack("f", value))[0])
