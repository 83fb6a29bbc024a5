"""Names of collections and vectors that a change creates."""

from __future__ import annotations

import re
from collections.abc import Container


def next_version(name: str, taken: Container[str]) -> str:
    """The first free name: ``articles_v2`` for ``articles`` or ``articles_v1``."""
    base = re.sub(r"_v\d+$", "", name)
    number = 2
    while f"{base}_v{number}" in taken:
        number += 1
    return f"{base}_v{number}"
