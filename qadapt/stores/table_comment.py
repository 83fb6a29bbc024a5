"""Settings of qadapt in the comment on a table; the text of the user is kept."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

# A line of the comment with this prefix holds the settings.
PREFIX = "qadapt: "


def split_comment(comment: str) -> tuple[dict[str, Any], str]:
    """The settings of qadapt in a comment, and the rest of it."""
    settings: dict[str, Any] = {}
    rest = []
    for line in comment.split("\n"):
        if not line.startswith(PREFIX):
            rest.append(line)
            continue
        try:
            found = json.loads(line.removeprefix(PREFIX))
        except ValueError:
            found = None
        if isinstance(found, dict):
            settings = found
        else:
            rest.append(line)
    return settings, "\n".join(rest)


def join_comment(settings: Mapping[str, Any], rest: str) -> str | None:
    """The comment with settings; None for no comment."""
    kept = {key: value for key, value in settings.items() if value}
    lines = [rest] if rest else []
    if kept:
        lines.append(PREFIX + json.dumps(kept, sort_keys=True, ensure_ascii=False))
    return "\n".join(lines) or None
