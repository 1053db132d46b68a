"""The school day as a picture: latency above, rate below, the phases named."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

# Told apart also without colours: by lightness, and by solid or broken lines.
_PINGS, _READS, _LIMIT, _QUIET = "#1f5fa8", "#d9730d", "#c0272d", "#6b7280"
_BAND = "#f1f4f8"
_LIMIT_MS = 50
_LEAST_TOP_MS = 200
_TICKS_MS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
_WHAT = {"pings": "posts of pings", "reads": "reads"}
_SIDES = (("pings", _PINGS), ("reads", _READS))


def draw(values: Mapping[str, Any], path: pathlib.Path) -> None:
    """Writes the SVG; letters are drawn as paths, so that it looks the same everywhere."""
    import matplotlib as mpl  # noqa: PLC0415  # half a second that only the report pays
    from matplotlib import figure  # noqa: PLC0415

    # Else ids are drawn at random, and every report would change the file.
    with mpl.rc_context({"svg.hashsalt": "geoingest", "font.size": 9, "axes.linewidth": 0.6}):
        made = figure.Figure(figsize=(10, 5.2), layout="constrained")
        upper, lower = made.subplots(2, sharex=True, height_ratios=(3, 1.6))
        _latency(upper, values["series"])
        _rate(lower, values["series"])
        for axes in (upper, lower):
            _frame(axes, values)
        _name_phases(upper, values["phases"])
        _tell_import(upper, values["import"])
        made.savefig(path, format="svg", facecolor="white", metadata={"Date": None})


def _latency(axes: Any, series: Mapping[str, Sequence[float | None]]) -> None:  # matplotlib's Axes
    at = _minutes(series["at"])
    for side, colour in _SIDES:
        p50, p99 = (_gaps(series[f"{side}_{key}"]) for key in ("p50_ms", "p99_ms"))
        axes.plot(at, p99, color=colour, linewidth=1.6, label=f"{side} p99")
        axes.plot(
            at, p50, color=colour, linewidth=1.1, linestyle=(0, (3, 1.5)), label=f"{side} p50"
        )
    axes.axhline(_LIMIT_MS, color=_LIMIT, linewidth=1.2)
    axes.annotate(
        f"{_LIMIT_MS} ms", (1, _LIMIT_MS), (-4, 3), xycoords=("axes fraction", "data"),
        textcoords="offset points", ha="right", color=_LIMIT, weight="bold",
    )  # fmt: skip
    axes.set_yscale("log")
    slowest = max(one or 0 for side, _ in _SIDES for one in series[f"{side}_p99_ms"])
    # Above the slowest there is room for the words.
    top = max(_LEAST_TOP_MS, 1.5 * slowest)
    # Below a millisecond there is nothing but the legend.
    axes.set_ylim(0.5, top)
    axes.set_yticks([one for one in _TICKS_MS if one <= top], minor=False)
    axes.set_yticks([], minor=True)
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set_ylabel("latency, ms")
    axes.legend(ncols=4, loc="lower right", frameon=False, fontsize=8, borderaxespad=0.2)


def _rate(axes: Any, series: Mapping[str, Sequence[float | None]]) -> None:
    at = _minutes(series["at"])
    for number, (side, colour) in enumerate(_SIDES):
        rates = _gaps(series[f"{side}_per_s"])
        axes.fill_between(at, rates, color=colour, alpha=0.18, linewidth=0)
        axes.plot(at, rates, color=colour, linewidth=1.2)
        axes.annotate(
            f"{_WHAT[side]}, at most {max(rates):,.0f}/s", (0, 1), (6, -6 - 12 * number),
            xycoords="axes fraction", textcoords="offset points", va="top", color=colour, fontsize=8,
        )  # fmt: skip
    axes.set_ylim(0, 1.15 * max(_gaps(series["pings_per_s"])))
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.set_ylabel("answered per second")
    axes.set_xlabel("minutes")


def _frame(axes: Any, values: Mapping[str, Any]) -> None:
    """What both halves share: bands for the phases, few lines."""
    begins = _begins(values["phases"])
    axes.set_xlim(0, begins[-1])
    for number in range(0, len(begins) - 1, 2):
        axes.axvspan(begins[number], begins[number + 1], color=_BAND, linewidth=0, zorder=0)
    axes.grid(axis="y", color="#d8dee6", linewidth=0.5)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors="#333333", width=0.6)


def _name_phases(axes: Any, phases: Sequence[Mapping[str, Any]]) -> None:
    begins = _begins(phases)
    for phase, start, end in zip(phases, begins, begins[1:], strict=False):
        axes.annotate(
            str(phase["name"]).replace(" ", "\n", 1), ((start + end) / 2, 1), (0, 4),
            xycoords=("data", "axes fraction"), textcoords="offset points",
            ha="center", va="bottom", fontsize=8.5, color="#333333", linespacing=0.95,
        )  # fmt: skip


def _tell_import(axes: Any, bulk: Mapping[str, Any]) -> None:
    start, end = bulk["at"] / 60, (bulk["at"] + bulk["seconds"]) / 60
    axes.axvspan(start, end, ymax=0.93, color=_QUIET, alpha=0.22, linewidth=0)
    axes.annotate(
        f"{bulk['students']:,} students\nimported", (end, 0.93), (4, -2),
        xycoords=("data", "axes fraction"), textcoords="offset points",
        va="top", fontsize=8, color=_QUIET,
    )  # fmt: skip


def _begins(phases: Sequence[Mapping[str, Any]]) -> list[float]:
    seconds = [0.0]
    for one in phases:
        seconds.append(seconds[-1] + one["seconds"])
    return _minutes(seconds)


def _minutes(seconds: Sequence[float | None]) -> list[float]:
    return [(one or 0.0) / 60 for one in seconds]


def _gaps(values: Sequence[float | None]) -> list[float]:
    """Where nothing was answered there is no line."""
    return [float("nan") if one is None else one for one in values]
