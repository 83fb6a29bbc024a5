"""Sparse vectors: fields of the type SPARSE_FLOAT_VECTOR, compared with IP.

Run on Lite 3.2.2: each row needs a sparse vector with a nonzero entry and no negative value; the
highest index is 2**32 - 2; zero entries are dropped silently. The same rules are applied to servers
from 2.4 on, which were not run: they refuse negative values too
(https://github.com/milvus-io/milvus/issues/41555), and accept empty vectors since 2.4.12
(https://github.com/milvus-io/milvus/pull/34700), which are still refused here. Fields that
a function computes from text (BM25) cannot be written and are not supported.

``ExtraVector.native`` of the family ``milvus``: ``index_type``, ``params``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from qadapt.errors import InputError
from qadapt.model import Batch, ExtraVector, RaggedArray
from qadapt.model.ragged_arrays import from_sparse, row_of_entry, sparse_rows, without_zeros
from qadapt.stores.milvus.version import SINCE_NAMED, ServerVersion

TYPE = "SPARSE_FLOAT_VECTOR"
INDEX: Mapping[str, Any] = {"index_type": "SPARSE_INVERTED_INDEX", "params": {}}
METRIC = "IP"
MADE = f"is a {TYPE} that a Milvus function computes, so it cannot be written"
# The assumed size of a row for paging, because the number of entries is unknown.
ROW_BYTES = 4_096


@dataclass(frozen=True)
class Sparse:
    """The field of a sparse vector.

    Attributes:
        field: the field name in Milvus.
        native: its index; empty without one.
    """

    field: str
    native: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def extra(self) -> ExtraVector:
        """The vector in the form that all stores share."""
        return ExtraVector("sparse", native=self.native)


def described(each: Mapping[str, Any], index: Mapping[str, Any]) -> tuple[str, Sparse | None]:
    """A description of a sparse field, and the field if qadapt can read and write it.

    Args:
        each: the field in ``describe_collection``.
        index: its index definition; empty without one.
    """
    if each.get("is_function_output"):
        return MADE, None
    metric = index.get("metric_type", METRIC)
    if metric != METRIC:
        return f"is a {TYPE} with the metric {metric}; qadapt supports {METRIC}", None
    native = {key: index[key] for key in INDEX if key in index}
    return f"is a {TYPE}", Sparse(each["name"], native)


def unsupported(extras: Mapping[str, ExtraVector], server_version: ServerVersion) -> dict[str, str]:
    """The extra vectors that a server does not support, and why; names are checked elsewhere."""
    reported = {name: _problem(extra, server_version) for name, extra in extras.items()}
    return {f"extras.{name}": why for name, why in reported.items() if why is not None}


def _problem(extra: ExtraVector, server_version: ServerVersion) -> str | None:
    if extra.kind == "multi":
        return "Milvus has no multivectors; qadapt does not write arrays of structs (Milvus 2.6.4)"
    if server_version.old_lite:
        return f"qadapt does not support sparse vectors on {server_version.words}"
    if not server_version.lite and not server_version.has(SINCE_NAMED):
        return f"sparse vectors need Milvus {SINCE_NAMED}; this is {server_version.words}"
    if extra.datatype != "float32":
        return f"the values of a sparse vector in Milvus are float32, not {extra.datatype}"
    return None


def definition(name: str, extra: ExtraVector) -> dict[str, Any]:
    """The index definition of a field."""
    native = {**INDEX, **extra.native}
    return {"index_name": f"{name}_{native['index_type'].lower()}", "metric_type": METRIC, **native}


def check(batch: Batch, wanted: Mapping[str, Sparse]) -> None:
    """Refuse rows that Milvus would refuse in the middle of a write.

    Raises:
        InputError: a vector is missing, empty, negative, or has an index that is too high.
    """
    for name, each in wanted.items():
        if name not in batch.extras or batch.extras[name].absent().any():
            raise InputError(
                f"the vector {name!r} (field {each.field!r}) is missing in some rows, and Milvus "
                "requires it",
                hint="nothing was written; give each row this vector",
            )
        ragged = without_zeros(batch.extras[name])
        rows = row_of_entry(ragged)
        negative = rows[ragged.values < 0]
        high = rows[ragged.indices == 2**32 - 1] if ragged.indices is not None else rows[:0]
        empty = np.flatnonzero(np.diff(ragged.offsets) == 0)
        for bad, why in (
            (negative, "has negative values"),
            (high, "has the index 2**32 - 1"),
            (empty, "has no nonzero entry"),
        ):
            if len(bad):
                raise InputError(
                    f"row {int(bad[0])} of the vector {name!r} {why}, which Milvus does not accept",
                    hint="nothing was written",
                )


def columns(batch: Batch, fields: Mapping[str, Sparse]) -> dict[str, list[Any]]:
    """The Milvus values of rows, by field."""
    return {
        fields[name].field: [
            dict(zip(*row, strict=True)) if row else {} for row in sparse_rows(each)
        ]
        for name, each in batch.extras.items()
    }


def ragged(values: list[Any]) -> RaggedArray:
    """The sparse vectors of Milvus rows."""
    rows = [None if each is None else (each.keys(), each.values()) for each in values]
    return from_sparse(rows)
