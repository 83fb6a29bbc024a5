"""Copied rows with the first dimensions of some vectors."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from qadapt.model.leading_dims import leading
from qadapt.stores.weaviate import schema
from qadapt.stores.weaviate.schema import Layout

Row = dict[str, Any]


def with_dims(raw: Mapping[str, Any], dims: Mapping[str, int]) -> dict[str, Any]:
    """A raw schema whose note names other dimensions."""
    changed: dict[str, Any] = json.loads(json.dumps(raw))
    noted = schema.note_of(raw)
    if dims and noted.get("dims"):
        line = schema.note({**noted["dims"], **dims}, noted.get("settings"))
        changed["description"] = schema.described(raw.get("description"), line)
    return changed


def cut(page: Sequence[Mapping[str, Any]], source: Layout, dims: Mapping[str, int]) -> list[Row]:
    """Rows as raw JSON, with the first dimensions of the named vectors.

    Args:
        dims: by the vector's label; other vectors are unchanged.
    """
    rows = [dict(row) for row in page]
    for label, dim in dims.items():
        field = source.vectors[label]
        there = [row for row in rows if vector_of(row, field.target)]
        if not there:
            continue
        array = np.asarray([vector_of(row, field.target) for row in there], dtype=np.float32)
        for row, each in zip(there, leading(array, dim, field.metric).tolist(), strict=True):
            if field.target is None:
                row["vector"] = each
            else:
                row["vectors"] = {**row["vectors"], field.target: each}
    return rows


def vector_of(row: Mapping[str, Any], target: str | None) -> Any:
    """A vector of a row as raw JSON; None if the row lacks it."""
    return row.get("vector") if target is None else (row.get("vectors") or {}).get(target)


def as_single(row: Mapping[str, Any], source: Layout, dims: Mapping[str, int]) -> Row:
    """The row with the named vectors as float32, for a comparison."""
    found = {**row, "vectors": dict(row.get("vectors") or {})}
    for label in dims:
        target = source.vectors[label].target
        value = vector_of(row, target)
        single = None if value is None else np.asarray(value, dtype=np.float32).tolist()
        if target is None:
            found["vector"] = single
        else:
            found["vectors"][target] = single
    return found
