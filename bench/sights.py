"""The sections of bench/README.md that show more than single numbers: peers side by side, a day by its phases."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench import markdown
from bench.sections import Number, Section

PICTURE = "school-day.svg"
_PEERS = {
    "naive": "FastAPI, INSERT",
    "executemany": "FastAPI, executemany",
    "ours_1": "geoingest",
    "ours_2": "geoingest, 2 workers",
}
_OF_EACH_PEER = {
    "rps": "single pings, requests/s",
    "batch_pings_per_s": "bodies of 100, pings/s",
    "p99_ms": "single pings at the same low rate, p99, ms",
    "service_cpu_us_per_ping": "single pings, CPU time per ping, us: service",
    "database_cpu_us_per_ping": "the same: database",
    "cpu_us_per_ping": "the same: together",
    "batch_service_cpu_us_per_ping": "bodies of 100, CPU time per ping, us: service",
    "batch_database_cpu_us_per_ping": "the same: database",
    "batch_cpu_us_per_ping": "the same: together",
    "steady_cpu_us_per_ping": "single pings at the same low rate, CPU time per ping, us: together",
}
_OF_EACH_PHASE = {
    "seconds": "s",
    "pings_per_s": "posts/s",
    "reads_per_s": "reads/s",
    "pings_p50_ms": "posts p50, ms",
    "pings_p99_ms": "posts p99, ms",
    "reads_p50_ms": "reads p50, ms",
    "reads_p99_ms": "reads p99, ms",
    "logins_per_s": "logins/s",
    "logins_p99_ms": "logins p99, ms",
    "dashboards_p99_ms": "dashboards p99, ms",
}


def peers(values: Mapping[str, Any]) -> str:
    """A column for each."""
    return markdown.table(
        ["", *_PEERS.values()],
        [
            [words, *(markdown.show(values[peer][key]) for peer in _PEERS)]
            for key, words in _OF_EACH_PEER.items()
        ],
    )


def phases(values: Mapping[str, Any]) -> str:
    """The picture, and a row for each phase."""
    rows = [
        [one["name"], *(markdown.show(one.get(key)) for key in _OF_EACH_PHASE)]
        for one in values["phases"]
    ]
    return f"![latency and rate through the day]({PICTURE})\n\n" + markdown.table(
        ["", *_OF_EACH_PHASE.values()], rows
    )


PEERS = Section(
    "peers",
    "The same pings to four servers on one database, and `psql \\copy`, in turn in each round;"
    " medians over the rounds, ratios taken within a round. The peer is FastAPI on uvicorn as fast as"
    " it is without a queue: uvloop, httptools, no access log, one process, a pool of 10 connections"
    " with prepared statements, tokens in a dict, bodies checked by pydantic; it answers after the"
    " commit. One variant does an INSERT per ping, the other an executemany per body, in one"
    " transaction. Throughput and CPU time in closed loop; p99, and CPU time once more, in open loop"
    " at a low rate that all of them can take. CPU time is that of the server's whole process tree"
    " and of all of PostgreSQL's processes. No replica. At the end the table holds exactly the"
    " acknowledged rows. Generator, service and PostgreSQL share the cores: two workers take what is"
    " left of two, and as each finds half as many pings in a turn of its loop and in a batch, each"
    " ping costs more; with more phones less so (`--sockets 512`).",
    (
        Number("naive_cpu_to_ours", "CPU time per single ping, INSERT / geoingest", ">= 4"),
        Number("naive_cpu_to_ours_2", "the same with 2 workers"),
        Number(
            "naive_steady_cpu_to_ours", "the same at the low rate, where batches are of one", ">= 4"
        ),
        Number("executemany_batch_cpu_to_ours", "in bodies of 100, executemany / geoingest"),
        Number("rps_to_naive", "single pings/s, geoingest / INSERT"),
        Number("rps_2_to_1", "the same, 2 workers / 1", ">= 1"),
        Number("batch_to_executemany", "in bodies of 100, geoingest / executemany"),
        Number("batch_2_to_1", "the same, 2 workers / 1", ">= 1"),
        Number("copy_rows_per_s", "psql \\copy of a binary file, rows/s"),
        Number("batch_to_copy", "in bodies of 100, geoingest / psql", ">= 0.5", ">= 0.6"),
        Number("errors", "errors", "= 0"),
    ),
    peers,
)
SCHOOL_DAY = Section(
    "school-day",
    "A school's day in some minutes, open loop, latency from the intended start. Phones connect in"
    " the rush; at each bell all of them lose the network within a second, are back within seconds,"
    " and each posts the 12 pings it has kept, its latency counted from the moment it comes back,"
    " connecting included. In the bus hour 800 phones post once a second beside the others. Guardians"
    " ask all the time, most at the bells: three in four for the newest position, the others for the"
    " track of a day, half of them today's. In the morning guardians log in, up to twenty a second at"
    " the first bell; all day a member of staff watches a school of 3,500, all positions at once. During the lessons `geoingest provision` imports students"
    " on the same machine. A primary with the days before, its replica, `geoingest jobs` and the load"
    " generator run beside the service. Valid as `ingest` is, and if all students were imported.",
    (
        Number("pings_p50_ms", "posts, answered after their commit, p50, ms"),
        Number("pings_p99_ms", "the same, p99, ms", "< 50", "< 10"),
        Number("worst_pings_p99_ms", "the same, p99 of the worst phase, ms", "< 50"),
        Number("pings_p999_ms", "the same, p99.9, ms"),
        Number("reads_p50_ms", "reads, p50, ms"),
        Number("reads_p99_ms", "the same, p99, ms", "< 50"),
        Number("worst_reads_p99_ms", "the same, p99 of the worst phase, ms", "< 50"),
        Number("logins_p50_ms", "logins, p50, ms"),
        Number("logins_p99_ms", "the same, p99, ms", "< 100"),
        Number("logins_refused", "logins refused at once"),
        Number("dashboards_p50_ms", "newest position of a school's 3,500, p50, ms"),
        Number("dashboards_p99_ms", "the same, p99, ms", "< 200"),
        Number("replica_share", "share of the reads answered by the replica"),
        Number("acknowledged", "pings stored"),
        Number("import_seconds", "import of the students, s"),
        Number("errors", "errors", "= 0"),
        Number("service_cpu_share", "cores used by the service"),
        Number("database_cpu_share", "by the primary"),
        Number("generator_cpu_share", "by the load generator"),
    ),
    phases,
)
