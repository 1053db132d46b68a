"""The sections of bench/README.md: how each measurement is made, which of its numbers count, what they should be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple


class Number(NamedTuple):
    """A row of a section's table: a key of the result, what it means, and what it should reach."""

    key: str
    words: str
    target: str = ""
    aim: str = ""


class Section(NamedTuple):
    """One measurement, by its key in bench/results.json, and what it shows beside single numbers."""

    key: str
    about: str
    numbers: tuple[Number, ...]
    more: Callable[[Mapping[str, Any]], str] | None = None


INGEST = Section(
    "ingest",
    "Open loop: each phone has its own keep-alive socket, starts are drawn beforehand as Poisson"
    " arrivals, and latency counts from the intended start, so a slow moment is charged to every ping"
    " it delays. A run is valid only if at least 99.5 % of the rate was answered, the generator itself"
    " was late by less than 5 ms at p99, and the table holds exactly the acknowledged pings. The"
    " warm-up is not counted. A primary and its streaming replica run beside it.",
    (
        Number("p50_ms", "ping, answered after its commit, p50, ms"),
        Number("p99_ms", "the same, p99, ms", "< 50", "< 10"),
        Number("p999_ms", "the same, p99.9, ms", "", "< 50"),
        Number("max_ms", "the same, slowest, ms"),
        Number("errors", "errors", "= 0"),
        Number("achieved_rate", "answered pings per second"),
        Number("rss_mib", "the service's peak memory, MiB", "< 200"),
    ),
)
BUSY = Section(
    "ingest busy",
    "The same with everything at once: twice the rate, the replica, `geoingest jobs`, and viewers who"
    " ask for their student's newest position.",
    (
        Number("p50_ms", "ping, answered after its commit, p50, ms"),
        Number("p99_ms", "the same, p99, ms", "< 50", "< 10"),
        Number("p999_ms", "the same, p99.9, ms", "", "< 50"),
        Number("max_ms", "the same, slowest, ms"),
        Number("reads_p50_ms", "newest position, p50, ms"),
        Number("reads_p99_ms", "the same, p99, ms", "< 50", "< 10"),
        Number("replica_share", "share of the reads answered by the replica"),
        Number("errors", "errors", "= 0"),
        Number("achieved_rate", "answered pings per second"),
        Number("rss_mib", "the service's peak memory, MiB", "< 200"),
    ),
)
CAPACITY = Section(
    "capacity",
    "Closed loop, the five in turn in each round, medians over the rounds, ratios taken"
    " within a round. a, b and c send the same single pings over the same number of connections to"
    " the same server: a only reads the body, c decodes and answers like b but does one INSERT per"
    " ping through a pool of 10. e is `psql \\copy` of a prepared binary file into the same"
    " partitioned, indexed table. No replica. At the end the table holds exactly the acknowledged rows.",
    (
        Number("bare_rps", "a: body read, 204, requests/s"),
        Number("durable_rps", "b: single pings, durable, requests/s"),
        Number("naive_rps", "c: an INSERT per request, requests/s"),
        Number("batch_pings_per_s", "d: bodies of 100 pings, durable, pings/s"),
        Number("psql_rows_per_s", "e: psql \\copy of a binary file, rows/s"),
        Number("durable_to_bare", "b / a", ">= 0.8", ">= 0.9"),
        Number("durable_to_naive", "b / c", ">= 4"),
        Number("batch_to_copy", "d / e", ">= 0.5", ">= 0.6"),
        Number("bare_cpu_us", "a: the service's CPU time per request, us"),
        Number("durable_cpu_us", "b: the same"),
        Number("batch_cpu_us", "d: the same, per body of 100"),
        Number("errors", "errors", "= 0"),
    ),
)
READS = Section(
    "reads",
    "Open loop, latency from the intended start: the newest position and one day's track of"
    " random students, asked by their own viewers, and the newest positions of all of a school's"
    " students, asked by its staff, while phones post; through row-level security, and each answer on"
    " record before it is sent. The seeded days hold a ping"
    " every five minutes from 7 to 17 o'clock, 120 points per track. Before it the servers are"
    " restarted and their files taken out of the machine's memory, and the first seconds are not"
    " counted; what the cold lap asked, the warm one asks again.",
    (
        Number("seeded_rows", "pings in the table"),
        Number("cold_location_p50_ms", "cold: newest position, p50, ms"),
        Number("cold_location_p99_ms", "cold: newest position, p99, ms"),
        Number("cold_track_p50_ms", "cold: a day's track, p50, ms"),
        Number("cold_track_p99_ms", "cold: a day's track, p99, ms"),
        Number("cold_pings_p99_ms", "cold: pings meanwhile, p99, ms", "< 50"),
        Number("location_p50_ms", "newest position, p50, ms"),
        Number("location_p99_ms", "newest position, p99, ms", "< 50", "< 10"),
        Number("track_p50_ms", "a day's track, p50, ms"),
        Number("track_p99_ms", "a day's track, p99, ms", "", "< 50"),
        Number("dashboard_p50_ms", "newest positions of the school, p50, ms"),
        Number("dashboard_p99_ms", "the same, p99, ms", "< 200"),
        Number("pings_p99_ms", "pings meanwhile, p99, ms", "< 50"),
        Number("replica_share", "share answered by the replica"),
        Number("pings_per_s", "pings stored per second meanwhile"),
        Number("errors", "errors", "= 0"),
    ),
)
LOGIN = Section(
    "login",
    "Open loop, latency from the intended start: guardians log in with e-mail and password, each from"
    " an address of its own, beside pings. First as many as fit; then ten times as many, all with the"
    " right password; then as many guesses from one address. Refused is 429 or 503. A run is valid"
    " only if the first lap had at least 99.5 % of its logins, the generator itself was late by less"
    " than 5 ms at p99, and the table holds exactly the acknowledged pings. A primary and its"
    " streaming replica run beside it.",
    (
        Number("fits_p50_ms", "a login, p50, ms"),
        Number("fits_p99_ms", "the same, p99, ms", "< 100"),
        Number("fits_per_s", "logins per second"),
        Number("fits_pings_p99_ms", "pings meanwhile, p99, ms", "< 50"),
        Number("rush_per_s", "ten times as many: logins per second that were let in"),
        Number("rush_p99_ms", "these, p99, ms"),
        Number("rush_refused", "refused at once"),
        Number("rush_pings_p99_ms", "pings meanwhile, p99, ms", "< 50"),
        Number("guessed_refused", "as many guesses from one address: refused at once"),
        Number("guessed_pings_p99_ms", "pings meanwhile, p99, ms", "< 50"),
        Number(
            "unknown_to_wrong",
            "time to refuse an unknown e-mail / a wrong password",
            "< 1.1",
            ">= 0.9",
        ),
        Number("errors", "errors", "= 0"),
    ),
)
PROVISION = Section(
    "provision",
    "The real command from its start to its end, tokens written to a CSV.",
    (Number("seconds", "students, devices, viewers and CSV, s", "< 30"),),
)
DIRECTORY = Section(
    "directory",
    "`PUT /v1/admin/…` of a school district, from the first byte sent to the answer, one import after the"
    " other, while phones post, open loop: students and guardianships are added, come again unchanged,"
    " and change, all of them. A primary and its streaming replica run beside it.",
    (
        Number("students_added_seconds", "100,000 students added, s", "< 30"),
        Number("students_unchanged_seconds", "the same again, unchanged, s", "< 30"),
        Number("students_changed_seconds", "all change class, s", "< 30"),
        Number("guardians_added_seconds", "50,000 guardians of two students added, s", "< 30"),
        Number("guardians_unchanged_seconds", "the same again, unchanged, s", "< 30"),
        Number("guardians_changed_seconds", "all change terms, s", "< 30"),
        Number("quiet_p99_ms", "ping without imports, p99, ms"),
        Number("p50_ms", "ping beside imports, p50, ms"),
        Number("p99_ms", "the same, p99, ms", "< 50"),
        Number("p999_ms", "the same, p99.9, ms"),
        Number("max_ms", "the same, slowest, ms"),
        Number("errors", "errors", "= 0"),
    ),
)
