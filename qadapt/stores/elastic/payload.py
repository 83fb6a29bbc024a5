"""Payloads in documents.

In an index that qadapt created, the payload is one object that the server stores and does not
parse, so all JSON comes back as it was sent. In another index, the payload is all other fields of
the document.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from qadapt.errors import InputError
from qadapt.stores.checks import check_payloads
from qadapt.stores.elastic.filter_terms import terms
from qadapt.stores.elastic.schema import OWN, PAYLOAD, Index

# Names that the server keeps for itself in every document.
_RESERVED = ("_id", "_index", "_source", "_routing", "_type", "_ignored", "_field_names",
             "_seq_no", "_version", "_tier", "_doc_count", "_nested_path", "_feature")  # fmt: skip


def members(payloads: Sequence[Mapping[str, Any]] | None, count: int, index: Index) -> list[str]:
    """The members of each document that hold the payload, as JSON without braces.

    Raises:
        InputError: a payload that is no JSON, or a field that is a vector.
    """
    if payloads is None:
        return [""] * count
    check_payloads(payloads)
    if not index.managed:
        return [_members(each, row, index) for row, each in enumerate(payloads)]
    return [f'"{PAYLOAD}":{as_json(each)}' if each else "" for each in payloads]


def listed_terms(payloads: Sequence[Mapping[str, Any]] | None, count: int) -> list[str]:
    """The terms of each payload as a JSON list; ``""`` without any."""
    if payloads is None:
        return [""] * count
    found = [terms(each) for each in payloads]
    return [as_json(each) if each else "" for each in found]


def _members(payload: Mapping[str, Any], row: int, index: Index) -> str:
    for key in payload:
        if key in _RESERVED or any(key == each.path for each in index.vectors.values()) or not key:
            raise InputError(
                f"the payload of row {row} has the field {key!r}, which is reserved in "
                f"{index.name!r}",
                hint="rename the field",
            )
    return as_json(payload)[1:-1]


def as_json(value: Any) -> str:
    """Compact JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def plain(source: Mapping[str, Any], index: Index) -> dict[str, Any]:
    """The payload of a document."""
    if index.managed:
        found = source.get(PAYLOAD)
        return dict(found) if isinstance(found, Mapping) else {}
    return without_vectors(source, {each.path for each in index.vectors.values()})


def without_vectors(source: Mapping[str, Any], paths: set[str]) -> dict[str, Any]:
    """A document without its vector fields."""
    tops = {path.split(".")[0] for path in paths}
    found = {}
    for key, value in source.items():
        if key in paths or key == OWN:
            continue
        if key in tops and isinstance(value, Mapping):
            inner = {path.partition(".")[2] for path in paths if path.startswith(f"{key}.")}
            value = without_vectors(value, inner)
        found[key] = value
    return found


def source_filter(index: Index) -> Any:
    """The part of ``_source`` that holds the payload."""
    if index.managed:
        return [PAYLOAD]
    return {"excludes": [each.path for each in index.vectors.values()]}
