"""The operator's PostgreSQL settings, and what becomes of them on a smaller machine."""

from __future__ import annotations

import pytest

from geoingest.local import memory

_GIB = 2**30
# What the operator asked for, by name and value.
_LIST = {
    "max_connections": "200",
    "shared_buffers": "2GB",
    "effective_cache_size": "6GB",
    "work_mem": "64MB",
    "maintenance_work_mem": "512MB",
    "checkpoint_completion_target": "0.9",
    "wal_buffers": "16MB",
    "default_statistics_target": "100",
}
_SCALED = [name for name, value in _LIST.items() if value.endswith("B")]


@pytest.mark.parametrize("gib", [8, 64])
def test_where_there_is_enough_the_list_stands_as_it_is(gib: int) -> None:
    """Not a value is changed, and there is nothing to say about it."""
    found = memory.settings(gib * _GIB)

    assert _LIST.items() <= found.values.items()
    assert found.values == memory.read()
    assert found.note is None


def test_half_the_memory_is_half_of_each() -> None:
    """All memory lines shrink alike, everything else stays, and the note says by how much."""
    found = memory.settings(4 * _GIB)

    assert {name: found.values[name] for name in _SCALED} == {
        "shared_buffers": "1024MB",
        "effective_cache_size": "3072MB",
        "work_mem": "32MB",
        "maintenance_work_mem": "256MB",
        "wal_buffers": "8MB",
    }
    others = {name: value for name, value in memory.read().items() if name not in _SCALED}
    assert others.items() <= found.values.items()
    assert found.note is not None
    assert "4.0 GiB of memory, 8 wanted" in found.note
    assert "50%" in found.note
    assert "shared_buffers = 1024MB" in found.note


@pytest.mark.parametrize("mebibytes", [0, 64, 300])
def test_a_tiny_machine_still_gets_values_that_postgresql_takes(mebibytes: int) -> None:
    """Nothing shrinks to zero or below what a server needs to start."""
    found = memory.settings(mebibytes * 2**20).values

    least = {"shared_buffers": 32, "effective_cache_size": 1, "work_mem": 1, "wal_buffers": 1}
    assert all(int(found[name].removesuffix("MB")) >= size for name, size in least.items())


@pytest.mark.parametrize("gib", [0.25, 8])
def test_durability_is_never_scaled_away(gib: float) -> None:
    """200 means committed on every machine."""
    found = memory.settings(int(gib * _GIB)).values

    assert (found["fsync"], found["synchronous_commit"]) == ("on", "on")
    assert found["full_page_writes"] == "on"


def test_available_is_a_sensible_number_of_bytes() -> None:
    """Of this machine or of its container: more than a megabyte, less than a petabyte."""
    assert 2**20 < memory.available() < 2**50
