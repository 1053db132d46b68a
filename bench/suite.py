"""What `all` measures, in this order, and how it does so quickly when that is only to see that all work."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from bench import (
    capacity,
    directory,
    ingest,
    login,
    overload,
    peers,
    protocols,
    provision,
    reads,
    replay_storm,
    resend,
    retention,
    rollup,
    school_day,
    soak,
    storage,
    storm,
    upkeep,
)


class Measurement(NamedTuple):
    """One command with its plans; a variant is kept beside the plain one."""

    command: str
    run: Callable[[Any], dict[str, object]]
    plan: Any
    quick: Any
    variant: str = ""

    @property
    def key(self) -> str:
        """Its name in bench/results.json."""
        return f"{self.command} {self.variant}".strip()


ALL = (
    Measurement("ingest", ingest.run, ingest.Plan(), ingest.Plan(seconds=10.0)),
    Measurement(
        "ingest",
        ingest.run,
        ingest.Plan(rate=2000.0, reads=100.0, jobs=True),
        ingest.Plan(seconds=10.0, rate=500.0, reads=20.0, jobs=True),
        "busy",
    ),
    Measurement("capacity", capacity.run, capacity.Plan(), capacity.Plan(rounds=2, seconds=2.0)),
    Measurement("peers", peers.run, peers.Plan(), peers.Plan(rounds=1, seconds=2.0)),
    Measurement(
        "protocols", protocols.run, protocols.Plan(), protocols.Plan(rounds=1, seconds=2.0)
    ),
    Measurement("storm", storm.run, storm.Plan(), storm.Plan(backlog=50)),
    Measurement(
        "storm", storm.run, storm.Plan(workers=2), storm.Plan(backlog=50, workers=2), "2 workers"
    ),
    Measurement(
        "replay-storm", replay_storm.run, replay_storm.Plan(), replay_storm.Plan(500, 20, 60.0)
    ),
    Measurement("resend", resend.run, resend.Plan(), resend.Plan(500, 100, 20, 400.0, 100.0, 10.0)),
    Measurement("overload", overload.run, overload.Plan(), overload.QUICK),
    Measurement("soak", soak.run, soak.Plan(minutes=10.0), soak.Plan(minutes=1.0)),
    Measurement("reads", reads.run, reads.Plan(), reads.Plan(students=500, days=5, seconds=10.0)),
    Measurement("login", login.run, login.Plan(), login.QUICK),
    Measurement("upkeep", upkeep.run, upkeep.Plan(), upkeep.Plan(100, 100.0, 15.0, 2.0, 5.0)),
    Measurement("rollup", rollup.run, rollup.Plan(), rollup.Plan(500, 5, 100)),
    Measurement(
        "retention", retention.run, retention.Plan(), retention.Plan(200, 2, 100.0, 3.0, 2.0)
    ),
    Measurement("storage", storage.run, storage.Plan(), storage.Plan(500, 100)),
    Measurement("provision", provision.run, provision.Plan(), provision.Plan(10_000)),
    Measurement(
        "directory", directory.run, directory.Plan(), directory.Plan(5_000, 100.0, 100, 10.0, 2.0)
    ),
    Measurement("school-day", school_day.run, school_day.Plan(), school_day.QUICK),
)
