"""Tables of numbers in Markdown: shown as people read them, and judged by what they should be."""

from __future__ import annotations

from collections.abc import Sequence


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A head, a line, the rows."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def show(value: object) -> str:
    """A number with at most the digits that mean something."""
    if isinstance(value, float):
        return f"{value:,.0f}" if value >= 1000 else f"{value:g}"
    return f"{value:,}" if isinstance(value, int) else "not measured"


def judged(wanted: str, value: object) -> str:
    """The limit, and whether the value keeps it."""
    if not wanted or not isinstance(value, int | float):
        return wanted
    sign, _, limit = wanted.partition(" ")
    bound = float(limit)
    met = {"<": value < bound, ">=": value >= bound, "=": value == bound}[sign]
    return f"{wanted}: {'met' if met else '**missed**'}"
