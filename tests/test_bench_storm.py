"""A storm loses nothing, and a service that drops connects and pings is found out."""

from __future__ import annotations

from tests import benches

_STORM = ("storm", "--devices", "300", "--backlog", "60", "--patience", "30")


def test_every_ping_of_a_storm_is_stored_once() -> None:
    """All connect in one moment and drain their backlogs: no connect is dropped, no ping is lost."""
    code, values, words = benches.run(*_STORM)

    assert code == 0, words
    assert values["connect_errors"] == values["drain_errors"] == values["connects_dropped"] == 0
    assert values["rows"] == values["acknowledged"] == values["sent"] == 300 * (1 + 60)
    assert values["connect_slowest_ms"] < 3000
    assert values["valid"]


def test_a_careless_service_is_found_out() -> None:
    """With a backlog of a few, connects are dropped; what it forgot after its answer is missing."""
    _, values, words = benches.run(*_STORM, "--patience", "8", "--service", "tests.careless")

    assert values["connects_dropped"] > 0, words
    assert values["lost"] > 0
    assert not values["valid"]
