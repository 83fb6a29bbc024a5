"""Docstrings as mkdocstrings reads them: one parameter or error per line.

Docstrings of qadapt may name several parameters (``queries, encoder: see verify``) or several
errors (``InputError, NotFoundError``) in one line. mkdocstrings would leave such lines out.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

_SECTION = re.compile(r"^( *)(Args|Attributes|Raises):\s*$")
_NAMES = re.compile(r"^( +)(\w+(?:, \w+)+):(.*)$")
_ERRORS = re.compile(r"^( +)(\w+(?:, \w+)*)\s*$")


class OneNamePerLine(griffe.Extension):
    """Split lines that name several parameters or errors."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the docstring of an object that griffe has loaded."""
        if obj.docstring is not None:
            obj.docstring.value = "\n".join(split_names(obj.docstring.value.splitlines()))


def split_names(lines: list[str]) -> list[str]:
    """The lines of a docstring, with one name in each line of a section."""
    found: list[str] = []
    section, indent = "", 0
    for line in lines:
        heading = _SECTION.match(line)
        if heading:
            section, indent = heading[2], len(heading[1]) + 4
        elif line.strip() and not line.startswith(" " * indent):
            section = ""
        names = (_ERRORS if section == "Raises" else _NAMES).match(line) if section else None
        if names is None or len(names[1]) != indent:
            found.append(line)
            continue
        text = names[3] if section != "Raises" else " see the section Errors."
        found += [f"{names[1]}{name}:{text}" for name in names[2].split(", ")]
    return found
