"""Colored plans; the text comes from ``qadapt.planning.plan_text``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qadapt.cli import rendering

if TYPE_CHECKING:
    from rich.text import Text

    from qadapt.cli.output import Output
    from qadapt.model import Plan

NARROW, WIDE = 60, 120
_LABELS = {"why", "request", "rollback", "size", "blocks", "guard:", "clients:", "note:", "match:"}


def render_plan(plan: Plan, out: Output) -> Text:
    """Colored plan, fitted to the terminal; ``str(plan)`` if there is no terminal."""
    from rich.text import Text

    from qadapt.planning.plan_text import WIDTH, plan_text

    width = max(NARROW, min(out.out.width, WIDE)) if out.out.is_terminal else WIDTH
    lines = plan_text(plan, width=width).splitlines()
    return Text("\n").join(_line(line, first=at == 0) for at, line in enumerate(lines))


def _line(line: str, *, first: bool) -> Text:
    from rich.text import Text

    text = Text(line)
    word = line.strip().partition(" ")[0]
    start = len(line) - len(line.lstrip())
    if first or not start:
        text.stylize("bold")
    elif word in rendering.SYMBOLS:
        text.stylize(f"bold {rendering.SYMBOLS[word]}", start, start + len(word))
    elif word in _LABELS:
        text.stylize("dim", start, start + len(word))
    if word == "blocks":
        text.stylize("red", start + len(word))
    return text
