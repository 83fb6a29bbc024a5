"""Plots in a terminal, drawn by plotext."""

from __future__ import annotations

import re
from typing import Any

from qadapt.errors import MissingExtraError
from qadapt.reporting.content import Axis, ReportContent

_MARKS = {"before": "■", "after": "◆", "candidate": "●", "predicted": "○"}
_TITLES = {"bytes": "bytes of codes per vector", "latency": "latency of one query (ms, p95)"}
HEIGHT, WIDEST = 20, 100


def plot(report: ReportContent, axis: Axis, *, width: int, color: bool) -> str | None:
    """Recall by size or latency; None if there are no points.

    Raises:
        MissingExtraError: plotext is not installed.
    """
    every = report.placed(axis)
    placed = [each for each in every if each[1].role != "predicted" or not report.crowded]
    if not placed:
        return None
    plotext = _plotext()
    figure = plotext.figure
    figure.clear()
    figure.plot_size(min(width, WIDEST), HEIGHT)
    figure.theme("simple" if color else "colorless")
    figure.title(f"recall by {_TITLES[axis]}")
    line = report.pareto(axis)
    if len(line) > 1:
        joined = figure.signal(
            [point.at(axis) for point in line],
            [point.recall.value for point in line],
            marker="braille",
        )
        figure.draw(joined.lines())
    farthest = max(at for at, _ in placed)
    for at, point in placed:
        mark, number = _MARKS[point.role], point.number
        if at == farthest:  # no space to its right
            text = figure.text(at, point.recall.value, f"{number}{mark}", alignment="right")
        else:
            text = figure.text(at, point.recall.value, f"{mark}{number}")
        figure.draw(text)
    if farthest / min(at for at, _ in placed) > 3:
        figure.ruler("x").scale("log")
    built = str(figure.build())
    figure.clear()
    return built if color else _plain(built)


def _plain(text: str) -> str:
    """Remove escape sequences and trailing spaces."""
    lines = re.sub(r"\x1b\[[0-9;]*m", "", text).split("\n")
    return "\n".join(each.rstrip() for each in lines)


def _plotext() -> Any:
    try:
        import plotext  # version 6; earlier ones have other names
    except ModuleNotFoundError as error:
        if error.name != "plotext":
            raise
        raise MissingExtraError("plotext", "report", purpose="plots in a terminal") from error
    return plotext
