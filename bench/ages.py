"""The sections of bench/README.md about rows that grow old: what they cost, and how they are rolled up and leave."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench import markdown
from bench.sections import Number, Section

_LAYOUTS = {
    "ours": "as it is kept, COPY of 500",
    "heap": "COPY of 500 without the index",
    "insert": "an INSERT and a transaction per ping",
    "ascending": "the index with rising timestamps",
    "reordered": "columns ordered by their width",
    "fixed_point": "the same, coordinates as 4-byte integers",
    "covering": "index with all that a track shows",
}


def layouts(values: Mapping[str, Any]) -> str:
    """A row for each layout."""
    keys = ("heap_bytes", "index_bytes", "wal_bytes", "pings_per_s", "track_blocks")
    rows = [
        [words, *(markdown.show(values.get(f"{name}_{key}")) for key in keys)]
        for name, words in _LAYOUTS.items()
    ]
    head = ["per ping", "heap, bytes", "index, bytes", "WAL, bytes", "pings/s"]
    return markdown.table([*head, "blocks for 100 points"], rows)


UPKEEP = Section(
    "upkeep",
    "Single pings arrive, open loop, while a question holds the table and all of its months for half a"
    " minute; a month is made beside it, and one is dropped, which waits for the question and lets the"
    " pings pass.",
    (
        Number("p50_ms", "ping, answered after its commit, p50, ms"),
        Number("p99_ms", "the same, p99, ms", "< 100"),
        Number("max_ms", "the same, slowest, ms"),
        Number("errors", "errors", "= 0"),
        Number("made_seconds", "the month was made, s after the question began"),
        Number("dropped_seconds", "the month was gone, s after the question began"),
        Number("read_seconds", "the question was over, s after it began"),
    ),
)
ROLLUP = Section(
    "rollup",
    "Ten million pings of 3,500 students in 24 school days, rolled up by hour and by day in one go, as"
    " after months without the roller; beside it the time to count and sum the same rows. Then 1,000"
    " pings come late, each into another student's hour.",
    (
        Number("pings", "pings"),
        Number("seconds", "rolled up, s"),
        Number("pings_per_s", "pings per second"),
        Number("seconds_to_read", "times as long as reading them"),
        Number("late_seconds", "1,000 late hours rolled again, s", "< 5"),
    ),
)
RETENTION = Section(
    "retention",
    "Two months of ten million pings each, while phones post 500 pings a second: one is dropped as"
    " `geoingest jobs` does it, DETACH CONCURRENTLY and DROP; the other goes by one DELETE, as it is done"
    " where there are no partitions, and needs a VACUUM before its room can be used again. The lock that"
    " would stop every ping, ACCESS EXCLUSIVE on the table of all months, is looked for every 2 ms.",
    (
        Number("pings", "pings of each month"),
        Number("quiet_p99_ms", "pings meanwhile, p99, ms: nothing else"),
        Number("dropped_seconds", "dropped, s"),
        Number("dropped_exclusive_seconds", "of these with every ping locked out", "= 0"),
        Number("dropped_p99_ms", "pings meanwhile, p99, ms", "< 100"),
        Number("dropped_max_ms", "the slowest, ms"),
        Number("dropped_wal_mib", "WAL, MiB"),
        Number("deleted_seconds", "deleted, s"),
        Number("deleted_p99_ms", "pings meanwhile, p99, ms"),
        Number("deleted_max_ms", "the slowest, ms"),
        Number("deleted_wal_mib", "WAL, MiB"),
        Number("vacuumed_seconds", "vacuumed after that, s"),
        Number("vacuumed_p99_ms", "pings meanwhile, p99, ms"),
        Number("vacuumed_wal_mib", "WAL, MiB"),
        Number("drop_to_delete", "times as long as the drop: the DELETE"),
        Number("errors", "errors", "= 0"),
    ),
)
STORAGE = Section(
    "storage",
    "Bytes per ping on disk and in the WAL, of pings that arrive from 3,500 students in turn, every ten"
    " seconds, each layout in a table of its own. The WAL holds each page once whole, as after a"
    " checkpoint. Blocks are those looked at for 100 points of one student. The order of the columns and"
    " that of the index save nothing, coordinates of 4 bytes a twentieth, in numbers that no other tool"
    " reads. An index that holds what a track shows spares the track its blocks, and costs every ping half"
    " of its room again and more WAL. A day's track is read from memory in a few milliseconds without it;"
    " from the disk at the median, too, but a hundred a second of days drawn at random keep the disk busy"
    " (`reads`). Guardians ask for today, which is in memory: so the pings stay as they are.",
    (
        Number("pings", "pings"),
        Number("month_pings", "a month of 3,500 students at 10 s, pings"),
        Number("month_gib", "the same on disk, GiB"),
    ),
    layouts,
)
