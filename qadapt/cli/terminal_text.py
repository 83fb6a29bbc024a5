"""Removal of control characters from text of servers and files.

A name, a payload or an error message can contain escape sequences that move the cursor, change the
title or reorder text. They are removed before rich adds colors.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.console import ConsoleRenderable, RenderHook
from rich.measure import Measurement
from rich.segment import Segment

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

# C0 and C1 control characters but for tab and newline, and Unicode's controls of direction.
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def clean(text: str) -> str:
    """Remove control characters and controls of direction; tabs and newlines stay."""
    return _UNSAFE.sub("", text)


def escaped(document: str) -> str:
    """Escape control characters in a JSON document as ``\\uXXXX``; values do not change."""
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", document)


class CleanHook(RenderHook):
    """Render hook of a rich console that cleans its output."""

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        """Wrap renderables."""
        return [_Clean(each) for each in renderables]


class _Clean:
    """Renderable without control characters; rich's control codes are kept."""

    def __init__(self, inner: ConsoleRenderable) -> None:
        self._inner = inner

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        return _cleaned(console.render(self._inner, options))

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement.get(console, options, self._inner)


def _cleaned(segments: Iterable[Segment]) -> Iterable[Segment]:
    for text, style, control in segments:
        yield Segment(text, style, control) if control else Segment(clean(text), style)
