"""Sparse vectors of Milvus: fields of the type SPARSE_FLOAT_VECTOR, compared by IP.

Run on Lite 3.2.2: each row has one, with an entry that is not 0; values are not negative; the
highest index is 2**32 - 2. Entries of 0 are dropped without a word. Servers from 2.4 on are held to
the same, without having been tried: they refuse negative values too
(https://github.com/milvus-io/milvus/issues/41555), and take empty vectors since 2.4.12
(https://github.com/milvus-io/milvus/pull/34700), which are refused here all the same. A field that
a function makes of text (BM25) cannot be written, and is none here.

``Extra.native`` of the family ``milvus``: ``index_type``, ``params``.
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
MADE = f"is a {TYPE} that a function of Milvus makes, and nobody else can write"
# Of a page: what a row is taken for, because nothing says how many entries it has.
ROW_BYTES = 4_096


@dataclass(frozen=True)
class Sparse:
    """One field.

    Attributes:
        field: its name in Milvus.
        native: its index; empty for none.
    """

    field: str
    native: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def extra(self) -> ExtraVector:
        """In common words."""
        return ExtraVector("sparse", native=self.native)


def described(each: Mapping[str, Any], index: Mapping[str, Any]) -> tuple[str, Sparse | None]:
    """What others are told of a field, and the field where its rows can be copied.

    Args:
        each: as Milvus describes it.
        index: its definition; empty for none.
    """
    if each.get("is_function_output"):
        return MADE, None
    metric = index.get("metric_type", METRIC)
    if metric != METRIC:
        return f"is a {TYPE} of the metric {metric}, which is not {METRIC}", None
    native = {key: index[key] for key in INDEX if key in index}
    return f"is a {TYPE}", Sparse(each["name"], native)


def unsupported(extras: Mapping[str, ExtraVector], server_version: ServerVersion) -> dict[str, str]:
    """What an engine would not make, and why; the names are checked elsewhere."""
    reported = {name: _problem(extra, server_version) for name, extra in extras.items()}
    return {f"extras.{name}": why for name, why in reported.items() if why is not None}


def _problem(extra: ExtraVector, server_version: ServerVersion) -> str | None:
    if extra.kind == "multi":
        return "Milvus has no vector of many rows; arrays of structs (from 2.6.4) are not written"
    if server_version.old_lite:
        return f"sparse vectors were not tried on {server_version.words}"
    if not server_version.lite and not server_version.has(SINCE_NAMED):
        return f"sparse vectors need Milvus {SINCE_NAMED}; this is {server_version.words}"
    if extra.datatype != "float32":
        return f"the values of a sparse vector are float32 in Milvus, not {extra.datatype}"
    return None


def definition(name: str, extra: ExtraVector) -> dict[str, Any]:
    """The index of a field."""
    native = {**INDEX, **extra.native}
    return {"index_name": f"{name}_{native['index_type'].lower()}", "metric_type": METRIC, **native}


def check(batch: Batch, wanted: Mapping[str, Sparse]) -> None:
    """Refuse what Milvus refuses halfway.

    Raises:
        InputError
    """
    for name, each in wanted.items():
        if name not in batch.extras or batch.extras[name].absent().any():
            raise InputError(
                f"each row needs the vector {name!r} (field {each.field!r}): Milvus has no rows "
                "without one",
                hint="nothing was written",
            )
        ragged = without_zeros(batch.extras[name])
        rows = row_of_entry(ragged)
        negative = rows[ragged.values < 0]
        high = rows[ragged.indices == 2**32 - 1] if ragged.indices is not None else rows[:0]
        empty = np.flatnonzero(np.diff(ragged.offsets) == 0)
        for bad, why in (
            (negative, "holds values below 0"),
            (high, "holds the index 2**32 - 1"),
            (empty, "has no entry other than 0"),
        ):
            if len(bad):
                raise InputError(
                    f"vector {name!r}: row {int(bad[0])} {why}, which Milvus does not take",
                    hint="nothing was written",
                )


def columns(batch: Batch, fields: Mapping[str, Sparse]) -> dict[str, list[Any]]:
    """Milvus' values of rows, for each field."""
    return {
        fields[name].field: [
            dict(zip(*row, strict=True)) if row else {} for row in sparse_rows(each)
        ]
        for name, each in batch.extras.items()
    }


def ragged(values: list[Any]) -> RaggedArray:
    """Those of Milvus' values of rows."""
    rows = [None if each is None else (each.keys(), each.values()) for each in values]
    return from_sparse(rows)
