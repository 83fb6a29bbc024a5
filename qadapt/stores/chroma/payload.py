"""Payloads in Chroma's metadata, which has scalars and lists of one type, and no nesting.

A nested field is stored under its dotted key, which filters of other clients can use, and a text
``document`` as the document of the record. What this form cannot represent is also stored as JSON
under one key. Reading prefers the JSON while it agrees with the other keys
(docs/engines/chroma.md#rows).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

KEY = "qadapt_payload"
DOCUMENT = "document"
# The key of a document if the metadata has a field ``document``, too; Chroma reserves it.
OTHER_DOCUMENT = "chroma:document"
_INT64 = 2**63
_RESERVED = ("#", "$", "chroma:")


@dataclass
class Stored:
    """A payload as Chroma stores it.

    Attributes:
        metadata: scalars and lists, by dotted key.
        document: the text of the record; None for none.
        exact: ``metadata`` and ``document`` represent the whole payload.
        unfiltered: top-level fields with values that a native filter cannot compare.
    """

    metadata: dict[str, Any] = field(default_factory=dict)
    document: str | None = None
    exact: bool = True
    unfiltered: set[str] = field(default_factory=set)


def store(payload: Mapping[str, Any]) -> Stored:
    """The form of a payload that Chroma stores."""
    made = Stored()
    for key, value in payload.items():
        if key in (DOCUMENT, OTHER_DOCUMENT) and isinstance(value, str) and value:
            if made.document is not None or (key == OTHER_DOCUMENT and DOCUMENT not in payload):
                made.exact = False
            elif key == OTHER_DOCUMENT or OTHER_DOCUMENT not in payload:
                made.document = value
                continue
        _add(made, key, value, key)
    if not made.exact:
        made.metadata[KEY] = json.dumps(dict(payload), ensure_ascii=False)
    return made


def _add(made: Stored, key: str, value: Any, top: str) -> None:
    """Add a field, or the fields inside of it."""
    name = key.rpartition(".")[2]
    if not name or ("." in top) or key == KEY or key in made.metadata or key.startswith(_RESERVED):
        _leave_out(made, top)
    elif isinstance(value, Mapping):
        if not value or not all(isinstance(each, str) and "." not in each for each in value):
            _leave_out(made, top)
        for inner, each in value.items():
            _add(made, f"{key}.{inner}", each, top)
    elif isinstance(value, (list, tuple)):
        _add_list(made, key, list(value), top)
    elif value is None:
        made.exact = False
    elif _is_scalar(value):
        made.metadata[key] = value
        if isinstance(value, float) and value == 0:
            made.exact = False  # -0.0 would be 0.0
    else:
        _leave_out(made, top)


def _add_list(made: Stored, key: str, values: list[Any], top: str) -> None:
    """Add a list; a filter does not compare its numbers, and finds no list of several types."""
    kinds = {type(each) for each in values}
    if len(kinds) == 1 and all(map(_is_scalar, values)):
        made.metadata[key] = values
        if kinds & {int, float}:
            made.unfiltered.add(top)
        if float in kinds and 0.0 in values:
            made.exact = False
    else:
        _leave_out(made, top)


def _leave_out(made: Stored, top: str) -> None:
    made.exact = False
    made.unfiltered.add(top)


def _is_scalar(value: Any) -> bool:
    if isinstance(value, bool) or type(value) in (str, float):
        return True
    return type(value) is int and -_INT64 <= value < _INT64


def read(metadata: Mapping[str, Any] | None, document: str | None) -> dict[str, Any]:
    """The payload of a record.

    If another client changed fields after the JSON was written, the fields are returned.
    """
    fields = dict(metadata or {})
    text = fields.pop(KEY, None)
    if text is not None:
        whole = _parsed(text)
        if whole is not None:
            expected = store(whole)
            expected.metadata.pop(KEY, None)
            if expected.metadata == fields and (expected.document or "") == (document or ""):
                return whole
    found = nested(fields)
    if document:
        found[OTHER_DOCUMENT if DOCUMENT in found else DOCUMENT] = document
    return found


def read_rows(
    metadatas: Sequence[dict[str, Any] | None], documents: Sequence[str | None]
) -> list[dict[str, Any] | None]:
    """Payloads of several rows; see ``read``. The metadata must be the caller's own."""
    if None not in metadatas and not any(documents):
        keys = set().union(*metadatas)  # type: ignore[arg-type]
        if KEY not in keys and "." not in "".join(keys):
            return list(metadatas)
    return [read(*each) for each in zip(metadatas, documents, strict=True)]


def _parsed(text: Any) -> dict[str, Any] | None:
    """The JSON of a payload; None if another client wrote something else under the key."""
    try:
        found = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def nested(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields with dotted keys as nested objects; a key stays flat if its parent is a field."""
    if "." not in "".join(fields):
        return dict(fields)
    found: dict[str, Any] = {}
    for key, value in fields.items():
        parts = key.split(".")
        at: Any = found
        if len(parts) > 1 and all(parts) and not _has_field_above(fields, parts):
            for part in parts[:-1]:
                at = at.setdefault(part, {})
            at[parts[-1]] = value
        else:
            found[key] = value
    return found


def _has_field_above(fields: Mapping[str, Any], parts: list[str]) -> bool:
    return any(".".join(parts[:end]) in fields for end in range(1, len(parts)))


def merged(stored: Stored, former: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The metadata of an upsert that replaces a payload: None removes a key, because an upsert
    keeps keys that it does not name; None if there is nothing to send."""
    gone = dict.fromkeys(key for key in former or {} if key not in stored.metadata)
    return {**stored.metadata, **gone} or None
