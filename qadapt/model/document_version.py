"""Format versions of documents: a newer format is reported as newer, not as damaged."""

from __future__ import annotations

import re
from typing import Any

from qadapt.version import DISTRIBUTION, __version__

UPGRADE = f"upgrade: pip install --upgrade {DISTRIBUTION}"


def newer_version(document: Any, known: int) -> str | None:
    """Explain that a newer qadapt wrote the document; None if it did not.

    Args:
        document: parsed JSON of any shape. Its format number (``format``) decides, or else the
            version of qadapt that wrote it (``qadapt``).
        known: newest format that this version reads.
    """
    if not isinstance(document, dict):
        return None
    number, version = document.get("format"), document.get("qadapt")
    name = f"qadapt {version:.40}" if isinstance(version, str) and version else "a newer qadapt"
    if type(number) is int and number > known:
        shown = number if number < 10**6 else "with an invalid number"
        return f"written by {name} in format {shown}; this is qadapt {__version__}"
    if isinstance(version, str) and _release(version) > _release(__version__):
        return f"written by {name}; this is qadapt {__version__}"
    return None


def of_newer_format(document: Any, known: int) -> bool:
    """Whether the format of the document is unknown to this version."""
    number = document.get("format") if isinstance(document, dict) else None
    return type(number) is int and number > known


def _release(version: str) -> tuple[int, ...]:
    """Leading numbers of a version."""
    found = re.match(r"\d{1,9}(\.\d{1,9})*", version)
    return tuple(int(part) for part in found[0].split(".")) if found else ()
