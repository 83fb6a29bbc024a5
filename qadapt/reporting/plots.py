"""Plots as SVG that uses the colors of the page, so that light and dark mode share one file."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any

from qadapt.errors import MissingExtraError
from qadapt.reporting.content import Axis, Point, ReportContent

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Placeholders for the colors of the page; see page.css.
_COLOURS = {
    "ink": "#010101",
    "muted": "#020202",
    "line": "#030303",
    "candidate": "#040404",
    "before": "#050505",
    "after": "#060606",
    "predicted": "#070707",
    "paper": "#080808",
}
_MARKS = {"before": "s", "after": "D", "candidate": "o", "predicted": "o"}
_TITLES = {
    "bytes": "Bytes of codes per vector",
    "latency": "Latency of one query (ms, 95th percentile)",
}
# Possible label positions in points, best first.
_OFFSETS = ((8, 5), (8, -11), (-8, 5), (-8, -11), (0, 9), (0, -15), (13, -3), (-13, -3), (18, 8))
_ROOM = 14
_Placed = list[tuple[float, Point]]
_SIZE = (4.6, 3.7)  # inches at 100 dpi: readable on a phone, two columns on a desktop


def recall_plot(report: ReportContent, axis: Axis) -> str | None:
    """Recall by size or latency, as ``<svg>``; None if there are no points.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    placed = report.placed(axis)
    if not placed:
        return None
    matplotlib, figure_class = _matplotlib()
    with matplotlib.rc_context(_STYLE):
        figure = figure_class(figsize=_SIZE, dpi=100, layout="constrained")
        axes = figure.add_subplot()
        _pareto(axes, report, axis)
        numbered = [each for each in placed if each[1].role != "predicted" or not report.crowded]
        for place, point in placed:
            _mark(axes, place, point, small=report.crowded)
        _frame(axes, placed, axis, report)
        figure.draw_without_rendering()
        _numbers(axes, numbered)
        return _inline(figure, f"{axis}-", f"Recall by {_TITLES[axis].lower()}")


_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "qadapt",
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": _COLOURS["ink"],
    "axes.edgecolor": _COLOURS["muted"],
    "axes.labelcolor": _COLOURS["ink"],
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": _COLOURS["muted"],
    "ytick.color": _COLOURS["muted"],
    "grid.color": _COLOURS["line"],
    "grid.linewidth": 0.6,
    "axes.grid": True,
    "axes.axisbelow": True,
}


def _matplotlib() -> tuple[Any, Any]:
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        if error.name != "matplotlib":
            raise
        raise MissingExtraError("matplotlib", "report", purpose="a report with plots") from error
    return matplotlib, Figure


def _pareto(axes: Axes, report: ReportContent, axis: Axis) -> None:
    line = report.pareto(axis)
    places = [point.at(axis) or 0 for point in line]
    recalls = [point.recall.value for point in line]
    axes.plot(places, recalls, color=_COLOURS["candidate"], linewidth=1.2, linestyle=(0, (4, 2)))


def _mark(axes: Axes, place: float, point: Point, *, small: bool) -> None:
    colour = _COLOURS[point.role]
    hollow = point.role == "predicted"
    if hollow and small:
        axes.plot([place], [point.recall.value], "o", color=colour, markersize=2.5, alpha=0.6)
        return
    value, low, high = point.recall.value, point.recall.low, point.recall.high
    errors = [[max(0.0, value - low)], [max(0.0, high - value)]]
    axes.errorbar(
        [place],
        [value],
        yerr=errors,
        fmt=_MARKS[point.role],
        color=colour,
        ecolor=colour,
        elinewidth=1,
        capsize=2,
        markersize=7 if point.role in ("before", "after") else 5.5,
        markerfacecolor=_COLOURS["paper"] if hollow else colour,
        zorder=4 if point.role in ("before", "after") else 3,
    )


def _frame(axes: Axes, placed: _Placed, axis: Axis, report: ReportContent) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    places = [place for place, _ in placed]
    subject = report.subject
    axes.set_xlabel(_TITLES[axis])
    axes.set_ylabel(f"Recall@{subject.k}" if subject is not None else "Recall")
    if max(places) / min(places) > 3:
        axes.set_xscale("log", base=2 if axis == "bytes" else 10)
        if axis == "bytes":
            axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
            axes.xaxis.set_minor_formatter(NullFormatter())
        else:
            axes.xaxis.set_major_locator(LogLocator(10, (1, 2, 5)))
            axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
            axes.xaxis.set_minor_formatter(NullFormatter())
    axes.margins(x=0.08)
    lowest = min(point.recall.low for _, point in placed)
    room = max(0.02, (1 - lowest) * 0.08)
    axes.set_ylim(max(0.0, lowest - room), 1 + room)


def _numbers(axes: Axes, placed: _Placed) -> None:
    """Label each point where the label overlaps no other label or point."""
    scale = axes.figure.dpi / 72
    where = [axes.transData.transform((place, point.recall.value)) for place, point in placed]
    taken = [(float(x), float(y)) for x, y in where]
    for at, (place, point) in enumerate(placed):
        x, y = taken[at]
        others = [each for other, each in enumerate(taken) if other != at]
        covers = [
            sum(
                abs(x + dx * scale - ox) < _ROOM and abs(y + (dy + 3) * scale - oy) < _ROOM
                for ox, oy in others
            )
            for dx, dy in _OFFSETS
        ]
        dx, dy = _OFFSETS[covers.index(min(covers))]
        taken.append((x + dx * scale, y + (dy + 3) * scale))
        axes.annotate(
            str(point.number),
            (place, point.recall.value),
            xytext=(dx, dy),
            textcoords="offset points",
            ha="center",
            fontsize=9,
            fontweight="bold" if point.role in ("before", "after") else "normal",
            color=_COLOURS[point.role],
        )


def _inline(figure: Any, prefix: str, label: str) -> str:
    """The figure as ``<svg>``: page colors, unique ids, no external references."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="', f'id="{prefix}', svg)
    svg = re.sub(r'href="#', f'href="#{prefix}', svg)
    svg = re.sub(r"url\(#", f"url(#{prefix}", svg)
    svg = re.sub(r"font: (\w+ )?([\d.]+)px [^;\"]*", _font, svg)
    for name, colour in _COLOURS.items():
        svg = svg.replace(colour, f"var(--{name})")
    size = re.search(r'width="([\d.]+)pt" height="([\d.]+)pt"', svg)
    if size is not None:
        svg = svg.replace(size[0], "")
    head = f'<svg role="img" aria-label="{label}" class="plot"'
    return svg.replace("<svg", head, 1).strip()


def _font(found: re.Match[str]) -> str:
    """Use the font family of the page."""
    weight = "font-weight: bold; " if (found[1] or "").strip() in ("bold", "700") else ""
    return f"{weight}font-size: {found[2]}px"
