"""bench/README.md and the README's line of numbers, written from the saved results."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from bench import results

NAMES = ("ingest", "capacity", "reads", "provision")
_ROOT = pathlib.Path(__file__).parent.parent
_OPEN, _CLOSE = "<!-- numbers -->", "<!-- /numbers -->"


class Number(NamedTuple):
    """A row of the table: a key of a result, and what it should reach."""

    result: str
    key: str
    words: str
    target: str = ""
    aim: str = ""


NUMBERS = (
    Number("ingest", "p50_ms", "ping, answered after its commit, p50, ms"),
    Number("ingest", "p99_ms", "the same, p99, ms", "< 50", "< 10"),
    Number("ingest", "p999_ms", "the same, p99.9, ms", "", "< 50"),
    Number("ingest", "max_ms", "the same, slowest, ms"),
    Number("ingest", "errors", "errors", "= 0"),
    Number("ingest", "achieved_rate", "answered pings per second"),
    Number("ingest", "rss_mib", "the service's peak memory, MiB", "< 200"),
    Number("capacity", "bare_rps", "a: body read, 204, requests/s"),
    Number("capacity", "durable_rps", "b: single pings, durable, requests/s"),
    Number("capacity", "naive_rps", "c: an INSERT per request, requests/s"),
    Number("capacity", "batch_pings_per_s", "d: bodies of 100 pings, durable, pings/s"),
    Number("capacity", "psql_rows_per_s", "e: psql \\copy of a binary file, rows/s"),
    Number("capacity", "durable_to_bare", "b / a", ">= 0.6", ">= 0.8"),
    Number("capacity", "durable_to_naive", "b / c", ">= 4"),
    Number("capacity", "batch_to_copy", "d / e", ">= 0.35", ">= 0.5"),
    Number("capacity", "bare_cpu_us", "a: the service's CPU time per request, us"),
    Number("capacity", "durable_cpu_us", "b: the same"),
    Number("capacity", "batch_cpu_us", "d: the same, per body of 100"),
    Number("capacity", "errors", "errors", "= 0"),
    Number("reads", "location_p50_ms", "newest position, p50, ms"),
    Number("reads", "location_p99_ms", "newest position, p99, ms", "", "< 10"),
    Number("reads", "track_p50_ms", "a day's track, p50, ms"),
    Number("reads", "track_p99_ms", "a day's track, p99, ms", "", "< 50"),
    Number("reads", "replica_share", "share answered by the replica"),
    Number("reads", "pings_per_s", "pings stored per second meanwhile"),
    Number("reads", "errors", "errors", "= 0"),
    Number("provision", "seconds", "students, devices, viewers and CSV, s", "< 30"),
)

_ABOUT = {
    "ingest": "Open loop: each phone has its own keep-alive socket, starts are drawn beforehand as Poisson"
    " arrivals, and latency counts from the intended start, so a slow moment is charged to every ping"
    " it delays. A run is valid only if at least 99.5 % of the rate was answered, the generator itself"
    " was late by less than 5 ms at p99, and the table holds exactly the acknowledged pings. The"
    " warm-up is not counted. A primary and its streaming replica run beside it.",
    "capacity": "Closed loop, the five in turn in each round, medians over the rounds, ratios taken"
    " within a round. a, b and c send the same single pings over the same number of connections to"
    " the same server: a only reads the body, c decodes and answers like b but does one INSERT per"
    " ping through a pool of 10. e is `psql \\copy` of a prepared binary file into the same"
    " partitioned, indexed table. No replica. At the end the table holds exactly the acknowledged rows.",
    "reads": "Open loop, latency from the intended start: the newest position and one day's track of"
    " random students, asked by their own viewers, while phones post. The seeded days hold a ping"
    " every five minutes from 7 to 17 o'clock, 120 points per track.",
    "provision": "The real command from its start to its end, tokens written to a CSV.",
}


def write() -> list[pathlib.Path]:
    """Writes bench/README.md, and the line of the top README where its markers are; their names."""
    found = {name: one for name in NAMES if (one := results.load(name)) is not None}
    path = _ROOT / "bench" / "README.md"
    path.write_text(_page(found))
    written = [path.relative_to(_ROOT)]
    readme = _ROOT / "README.md"
    text = readme.read_text()
    if _OPEN in text and _CLOSE in text:
        block = re.compile(f"{re.escape(_OPEN)}.*?{re.escape(_CLOSE)}", re.DOTALL)
        line = f"{_OPEN}\n{_line(found)}\n{_CLOSE}"
        readme.write_text(block.sub(lambda _: line, text))
        written.append(readme.relative_to(_ROOT))
    return written


def _page(found: Mapping[str, results.Result]) -> str:
    parts = [
        "# What geoingest does per second",
        "Written by `python -m bench report` from the last measurements; do not edit.\n"
        "`make bench` measures everything and writes this page. "
        "`python -m bench --help` tells of each measurement.",
        _machines(found),
        *(_section(found[name]) for name in NAMES if name in found),
        "## How to take these numbers",
        "The load generator, the service and the database servers share the cores: the service alone"
        " would do more, and latencies hold the waiting for each other. The databases are the"
        " embedded ones with the settings of `geoingest up`, fsync and synchronous_commit on, on the"
        " machine's own disk and a unix socket: a database elsewhere adds its round trip to every"
        " commit. Absolute numbers move with the machine and what else it does; the ratios of"
        " `capacity` move less.",
    ]
    return "\n\n".join(parts) + "\n"


def _machines(found: Mapping[str, results.Result]) -> str:
    rows = [
        [
            f"`{one.name}`",
            str(one.machine["cores"]),
            str(one.machine["cpu"]),
            f"{one.machine['memory_gib']} GiB",
            str(one.machine["python"]),
            str(one.values.get("postgresql", "")).removeprefix("postgres (PostgreSQL) "),
            str(one.machine["load_before"]),
            one.commit,
            one.date,
        ]
        for one in found.values()
    ]
    head = ["", "cores", "CPU", "memory", "Python", "PostgreSQL", "load before", "commit", "date"]
    return _table(head, rows)


def _section(result: results.Result) -> str:
    rows = [
        [
            number.words,
            _show(result.values.get(number.key)),
            _judged(number.target, result.values.get(number.key)),
            _judged(number.aim, result.values.get(number.key)),
        ]
        for number in NUMBERS
        if number.result == result.name
    ]
    valid = "" if result.values.get("valid") else "\n\n**This run is not valid.**"
    return (
        f"## {result.name}\n\n{_ABOUT[result.name]}\n\n```\n{result.command}\n```{valid}\n\n"
        + _table(["", "measured", "target", "aim"], rows)
    )


def _judged(wanted: str, value: object) -> str:
    """The limit, and whether the value keeps it."""
    if not wanted or not isinstance(value, int | float):
        return wanted
    sign, _, limit = wanted.partition(" ")
    bound = float(limit)
    met = {"<": value < bound, ">=": value >= bound, "=": value == bound}[sign]
    return f"{wanted}: {'met' if met else '**missed**'}"


def _show(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if value >= 1000 else f"{value:g}"
    return f"{value:,}" if isinstance(value, int) else "not measured"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _line(found: Mapping[str, results.Result]) -> str:
    """One sentence of numbers with machine, commit and command; only of valid measurements."""
    values = {name: one.values for name, one in found.items() if one.values.get("valid")}
    parts = []
    if one := values.get("ingest"):
        parts.append(
            f"{_show(one['achieved_rate'])} pings/s answered after their commit with p99"
            f" {_show(one['p99_ms'])} ms and p99.9 {_show(one['p999_ms'])} ms, {one['errors']} errors"
        )
    if one := values.get("capacity"):
        parts.append(
            f"at most {_show(one['durable_rps'])} single pings/s or"
            f" {_show(one['batch_pings_per_s'])} pings/s in bodies of 100"
        )
    if one := values.get("reads"):
        parts.append(f"newest position from the replica p99 {_show(one['location_p99_ms'])} ms")
    if not parts:
        return "Not measured yet: `make bench`."
    any_one = found[next(iter(values))]
    machine = any_one.machine
    return (
        f"{'; '.join(parts)}. Measured on {machine['cores']} cores ({machine['cpu']},"
        f" {machine['memory_gib']} GiB) shared by load generator, service, primary and replica,"
        f" at {any_one.commit}, by `make bench`; see [bench](bench/README.md)."
    )
