"""Measurements whose command takes its plan's options and nothing else."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from bench import (
    capacity,
    directory,
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
    storage,
    upkeep,
)


class Plain(NamedTuple):
    """What runs, with which defaults, and what --help says."""

    run: Callable[[Any], dict[str, object]]
    plan: Any
    example: str
    help: str
    # Of options that mean something else here.
    words: Mapping[str, str] = types.MappingProxyType({})


ALL = {
    "capacity": Plain(
        capacity.run,
        capacity.Plan(),
        "--rounds 3",
        "Throughput against bare HTTP, an INSERT per request, and psql's COPY, closed loop.",
    ),
    "peers": Plain(
        peers.run,
        peers.Plan(),
        "--rounds 3",
        "Throughput, CPU time per ping and p99 beside FastAPI with INSERT or executemany, and COPY.",
        {"rate": "Pings per second, for p99."},
    ),
    "protocols": Plain(
        protocols.run,
        protocols.Plan(),
        "--rounds 3",
        "Throughput and CPU time per ping in the protocol of each app beside our own, closed loop.",
        {"batch_sockets": "For bodies of 200 pings."},
    ),
    "replay-storm": Plain(
        replay_storm.run,
        replay_storm.Plan(),
        "--devices 3500 --backlog 200",
        "All phones come back in one moment and send what they have kept, one ping per request.",
        {"backlog": "Pings each phone has kept."},
    ),
    "resend": Plain(
        resend.run,
        resend.Plan(),
        "--rate 2000 --pings 500",
        "Latency of new pings while phones send again what was stored long ago, open loop.",
        {
            "devices": "Phones that send new pings.",
            "rate": "Duplicates per second.",
            "pings": "New pings per second.",
        },
    ),
    "overload": Plain(
        overload.run,
        overload.Plan(),
        "--seconds 120",
        "What is stored and how fast the rest is refused at three times the capacity, open loop.",
    ),
    "reads": Plain(
        reads.run,
        reads.Plan(),
        "--students 3500 --days 30",
        "Latency of the newest position and of a day's track while pings arrive, open loop.",
        {
            "dashboards": "Questions about all students, per second.",
            "rate": "Of each other question, per second.",
            "students": "Seeded.",
        },
    ),
    "login": Plain(
        login.run,
        login.Plan(),
        "--logins 20 --rush 200",
        "Latency of logins and pings: logins that fit, ten times as many, and guesses; open loop.",
        {"logins": "Logins per second that fit.", "rush": "Logins per second that do not."},
    ),
    "rollup": Plain(
        rollup.run,
        rollup.Plan(),
        "--days 24",
        "Time to roll up a month, and to bring in pings that come late.",
        {"days": "Of 120 pings of each student."},
    ),
    "upkeep": Plain(
        upkeep.run,
        upkeep.Plan(),
        "--rate 500",
        "Latency of pings while a month is made and one is dropped beside a long question, open loop.",
        {"reader": "Seconds for which a question holds the table."},
    ),
    "retention": Plain(
        retention.run,
        retention.Plan(),
        "--days 24",
        "Time to drop a month and to delete one, and latency of pings meanwhile, open loop.",
        {"days": "Of 120 pings of each student, in each of two months."},
    ),
    "storage": Plain(
        storage.run,
        storage.Plan(),
        "--pings 200",
        "Bytes per ping on disk and in the WAL, as they are kept and in other ways.",
        {"pings": "Of each student."},
    ),
    "directory": Plain(
        directory.run,
        directory.Plan(),
        "--lines 100000",
        "Time to put a school district into the directory, and latency of pings meanwhile, open loop.",
    ),
    "provision": Plain(
        provision.run,
        provision.Plan(),
        "--students 100000",
        "Time to enrol a school district by `geoingest provision`.",
    ),
}
