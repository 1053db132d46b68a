"""bench/README.md and the README's line of numbers, written from the saved results."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Mapping

from bench import ages, extremes, habits, markdown, picture, results, sections, sights

SECTIONS = (
    sections.INGEST,
    sections.BUSY,
    sections.CAPACITY,
    sights.PEERS,
    habits.PROTOCOLS,
    extremes.STORM,
    extremes.STORM_OF_WORKERS,
    habits.REPLAY_STORM,
    habits.RESEND,
    extremes.OVERLOAD,
    extremes.SOAK,
    sections.READS,
    sections.LOGIN,
    ages.UPKEEP,
    ages.ROLLUP,
    ages.RETENTION,
    ages.STORAGE,
    sections.PROVISION,
    sections.DIRECTORY,
    sights.SCHOOL_DAY,
)
_ROOT = pathlib.Path(__file__).parent.parent
_HEAD = ("", "measured", "target", "aim")
# Of which the README's line tells.
_TOLD = ("ingest", "ingest busy", "capacity", "reads")
_OPEN, _CLOSE = "<!-- numbers -->", "<!-- /numbers -->"


def write() -> list[pathlib.Path]:
    """Writes bench/README.md, its picture, and the README's line of numbers; their names."""
    found = results.load()
    path = _ROOT / "bench" / "README.md"
    path.write_text(page(found))
    written = [path.relative_to(_ROOT)]
    if sights.SCHOOL_DAY.key in found:
        drawn = path.with_name(sights.PICTURE)
        picture.draw(found[sights.SCHOOL_DAY.key].values, drawn)
        written.append(drawn.relative_to(_ROOT))
    readme = _ROOT / "README.md"
    text = readme.read_text()
    if _OPEN in text and _CLOSE in text:
        block = re.compile(f"{re.escape(_OPEN)}.*?{re.escape(_CLOSE)}", re.DOTALL)
        line = f"{_OPEN}\n{_line(found)}\n{_CLOSE}"
        readme.write_text(block.sub(lambda _: line, text))
        written.append(readme.relative_to(_ROOT))
    return written


def page(found: Mapping[str, results.Result]) -> str:
    """bench/README.md."""
    parts = [
        "# What geoingest does per second",
        "Written by `python -m bench report` from `bench/results.json`; do not edit.\n"
        "`make bench` measures everything and writes both. "
        "`python -m bench --help` tells of each measurement.",
        _machines(found),
        *(_section(one, found.get(one.key)) for one in SECTIONS),
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
            f"`{key}`",
            str(one.host["cores"]),
            str(one.host["cpu"]),
            f"{one.host['memory_gib']} GiB",
            str(one.host["kernel"]),
            one.versions["python"],
            one.versions["postgresql"],
            str(one.host["load_before"]),
            one.commit,
            one.date,
        ]
        for key, one in found.items()
    ]
    head = ["", "cores", "CPU", "memory", "kernel", "Python", "PostgreSQL", "load before", "commit"]
    return markdown.table([*head, "date"], rows)


def _section(section: sections.Section, result: results.Result | None) -> str:
    title = f"## {section.key}\n\n{section.about}"
    if result is None:
        rows = [[one.words, "not run", one.target, one.aim] for one in section.numbers]
        return f"{title}\n\n{markdown.table(_HEAD, rows)}"
    rows = [
        [
            one.words,
            markdown.show(result.values.get(one.key)),
            markdown.judged(one.target, result.values.get(one.key)),
            markdown.judged(one.aim, result.values.get(one.key)),
        ]
        for one in section.numbers
    ]
    valid = "" if result.valid else "\n\n**This run is not valid.**"
    shown = f"{title}\n\n```\n{result.command}\n```{valid}\n\n{markdown.table(_HEAD, rows)}"
    return f"{shown}\n\n{section.more(result.values)}" if section.more else shown


def _line(found: Mapping[str, results.Result]) -> str:
    """One sentence of numbers with machine, commit and command; only of valid measurements."""
    values = {key: one.values for key, one in found.items() if one.valid}
    parts = []
    if one := values.get("ingest"):
        parts.append(
            f"{markdown.show(one['achieved_rate'])} pings/s answered after their commit with p99"
            f" {markdown.show(one['p99_ms'])} ms and p99.9 {markdown.show(one['p999_ms'])} ms, {one['errors']} errors"
        )
    if one := values.get("ingest busy"):
        parts.append(
            f"{markdown.show(one['achieved_rate'])} pings/s beside reads and jobs with p99"
            f" {markdown.show(one['p99_ms'])} ms and p99.9 {markdown.show(one['p999_ms'])} ms"
        )
    if one := values.get("capacity"):
        parts.append(
            f"at most {markdown.show(one['durable_rps'])} single pings/s or"
            f" {markdown.show(one['batch_pings_per_s'])} pings/s in bodies of 100"
        )
    if one := values.get("reads"):
        parts.append(
            f"newest position from the replica p99 {markdown.show(one['location_p99_ms'])} ms"
        )
    if not parts:
        return "Not measured yet: `make bench`."
    told = [one for name, one in found.items() if name in _TOLD and name in values]
    host = told[0].host
    commits = ", ".join(dict.fromkeys(one.commit for one in told))
    return (
        f"{'; '.join(parts)}. Measured on {host['cores']} cores ({host['cpu']},"
        f" {host['memory_gib']} GiB) shared by load generator, service, primary and replica,"
        f" at {commits}, by `make bench`; see [bench](bench/README.md)."
    )
