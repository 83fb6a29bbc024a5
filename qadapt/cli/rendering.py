"""Formatting of numbers and states for the terminal."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

from qadapt.model import table

if TYPE_CHECKING:
    from qadapt.evaluation.results import Result
    from qadapt.model import Rescore, Status, UnknownDimension

DASH = table.DASH
size = table.size_text
recall = table.share_text

# A state never depends on color alone: each has a sign and a word.
STATES: dict[str, tuple[str, str]] = {
    "active": ("✓", "green"),
    "building": ("…", "yellow"),
    "ignored": ("✗", "red"),
    "absent": ("·", "dim"),
    "unknown": ("?", "magenta"),
}
SYMBOLS: dict[str, str] = {
    "=": "dim",
    "~": "green",
    "±": "yellow",
    "!": "red",
    "-/+": "red",
    ">": "cyan",
}
CHANGES: dict[str, tuple[str, str]] = {
    "applied": ("✓", "green"),
    "undone": ("↶", "yellow"),
    "nothing": ("=", "dim"),
    "interrupted": ("!", "red"),
    "failed": ("✗", "red"),
}


def seconds(value: float | None) -> str:
    """A span of time: ``0.4 ms``, ``830 ms``, ``12.3 s``, ``4 min 05 s``, ``2 h 10 min``."""
    if value is None:
        return DASH
    if value < 0.01:
        return f"{value * 1000:.2g} ms"
    if value < 1:
        return f"{value * 1000:.0f} ms"
    if value < 60:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min"


def number(value: float | None) -> str:
    """Integers with thousands separators."""
    return DASH if value is None else f"{value:,.0f}"


def no_params(result: Result) -> str:
    """Recall of a client that sends no parameters."""
    found = result.recall_no_params
    return recall(None if found is None else found.value)


def value(given: Any) -> str:
    """A signal's value: text unchanged, integers with separators, other values as JSON."""
    if isinstance(given, str):
        return given
    if isinstance(given, int) and not isinstance(given, bool):
        return f"{given:,}"
    return json.dumps(given, ensure_ascii=False, default=str)


def vector(name: str) -> str:
    """Label of a vector; the unnamed vector has no name."""
    return name or "(unnamed)"


def unmeasured(seen: UnknownDimension) -> str:
    """A vector of unknown dimension: empty, or not found in the rows that were read."""
    return "· empty" if seen.complete else "? unknown"


def state(status: Status) -> tuple[str, str]:
    """Sign, word and build progress of a state, and its color."""
    sign, style = STATES[status.state.value]
    word = f"{sign} {status.state.value}"
    if status.progress is not None and status.state.value == "building":
        word += f" {min(status.progress, 1):.0%}"
    return word, style


def rescore(value: Rescore | None) -> str:
    """Short description of a rescore setting."""
    return "default of the database" if value is None else value.text


def moment(created: str) -> str:
    """Convert an ISO 8601 time to local date and minute; other text is returned unchanged."""
    try:
        then = datetime.fromisoformat(created.replace("Z", "+00:00"))
    except ValueError:
        return created
    return then.astimezone().strftime("%Y-%m-%d %H:%M")
