"""Read relevance labels from BEIR, TREC or JSON files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qadapt.errors import InputError

Qrels = dict[str, dict[str, float]]

_SHAPES = (
    "a JSON object {query: {document: 1}}, BEIR TSV (query-id, corpus-id, score) or TREC qrels "
    "(query, 0, document, score)"
)


def read_labels(given: Any) -> Qrels:
    """Read labels from a mapping or a file.

    Args:
        given: ``{query id: {document id: gain}}``, or the path of a BEIR TSV, TREC qrels or
            JSON file.

    Raises:
        InputError: the file cannot be read, or a line is invalid.
    """
    if isinstance(given, Mapping):
        return _checked(given, "the labels")
    path = Path(given)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read labels from {path}: {error}", hint=_SHAPES) from error
    if text.lstrip().startswith("{"):
        try:
            return _checked(json.loads(text), str(path))
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path} is not JSON: {error}", hint=_SHAPES) from error
    found: Qrels = {}
    for number, line in enumerate(text.splitlines(), 1):
        parts = line.split("\t") if "\t" in line else line.split()
        if not line.strip() or (number == 1 and _heading(parts)):
            continue
        if len(parts) not in (3, 4):
            raise InputError(f"{path}, line {number}: {line!r:.80} is not a label", hint=_SHAPES)
        query, document, gain = parts[0], parts[-2], parts[-1]
        found.setdefault(query.strip(), {})[document.strip()] = _number(gain, path, number)
    if not found:
        raise InputError(f"{path} contains no labels", hint=_SHAPES)
    return found


def _heading(parts: list[str]) -> bool:
    try:
        float(parts[-1])
    except (ValueError, IndexError):
        return True
    return False


def _number(text: str, path: Path, number: int) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(
            f"{path}, line {number}: the score {text!r} is not a number", hint=_SHAPES
        ) from None


def _checked(given: Any, what: str) -> Qrels:
    try:
        return {
            str(query): {str(key): float(gain) for key, gain in known.items()}
            for query, known in given.items()
        }
    except (AttributeError, TypeError, ValueError) as error:
        raise InputError(
            f"{what} do not have the form {_SHAPES}: {error}",
            hint='for example {"query 1": {"document 7": 1}}',
        ) from error
