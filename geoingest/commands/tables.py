"""Rows in aligned columns, for people."""

from __future__ import annotations

import datetime
from collections.abc import Sequence


def write(rows: Sequence[Sequence[object]]) -> str:
    """A line for each row; a dash where there is nothing."""
    texts = [[_text(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in texts
    )
    return "\n".join(line.rstrip() for line in lines)


def _text(cell: object) -> str:
    if isinstance(cell, datetime.datetime):
        return f"{cell:%Y-%m-%d %H:%M:%S}Z"
    return "-" if cell is None or cell == "" else str(cell)
