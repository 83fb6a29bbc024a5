"""Sparse vectors and multivectors in Parquet.

    sparse:NAME   list<struct<index: uint32, value: float32>>, indices ascending
    multi:NAME    list<fixed_size_list<float32>[dim]>, at least one row

Null if a row has none; a sparse vector without entries is an empty list.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from qadapt.errors import UnsupportedError
from qadapt.migration.endpoint import Endpoint
from qadapt.migration.schema import missing_extras, multivectors_refused, supported_datatypes
from qadapt.migration.vectors import takes_unnamed_only
from qadapt.model import CollectionSchema, ExtraVector, Metric, RaggedArray, Vector

LOSSES = {"sparse": "sparse-vectors", "multi": "multivectors"}


def of_source(end: Endpoint) -> dict[str, ExtraVector]:
    """Extra vectors that a file supports; without rows, a dimension may be unknown."""
    found = end.store.collection_schema(end.name).extras
    return {
        name: each for name, each in found.items() if each.kind == "sparse" or each.dim is not None
    }


def column(name: str, extra: ExtraVector) -> str:
    """Column name of an extra vector."""
    return f"{extra.kind}:{name}"


def kind(arrow: Any, extra: ExtraVector) -> Any:
    """Arrow type of its column."""
    if extra.kind == "sparse":
        fields = [("index", arrow.uint32()), ("value", arrow.float32())]
        return arrow.list_(arrow.struct(fields))
    return arrow.list_(arrow.list_(arrow.float32(), extra.dim))


def of_type(arrow: Any, word: str, kind: Any) -> ExtraVector | None:
    """Extra vector of a column, by name and type; None if it is another column."""
    types = arrow.types
    if word not in LOSSES or not (types.is_list(kind) or types.is_large_list(kind)):
        return None
    inner = kind.value_type
    if word == "multi":
        fits = types.is_fixed_size_list(inner) and types.is_floating(inner.value_type)
        return ExtraVector("multi", int(inner.list_size), Metric.COSINE) if fits else None
    fits = types.is_struct(inner) and [each.name for each in inner] == ["index", "value"]
    return ExtraVector("sparse") if fits else None


def to_arrow(arrow: Any, ragged: RaggedArray, extra: ExtraVector) -> Any:
    """Convert the values of a page to a column."""
    values = arrow.array(np.ascontiguousarray(ragged.values).reshape(-1))
    if extra.kind == "sparse":
        names = ["index", "value"]
        inner = arrow.StructArray.from_arrays([arrow.array(ragged.indices), values], names)
    else:
        inner = arrow.FixedSizeListArray.from_arrays(values, extra.dim)
    offsets = arrow.array(ragged.offsets.astype(np.int32))
    mask = None if ragged.missing is None else arrow.array(ragged.missing)
    made = arrow.ListArray.from_arrays(offsets, inner, mask=mask)
    return made.cast(kind(arrow, extra))


def from_arrow(array: Any, extra: ExtraVector) -> RaggedArray:
    """Convert a column of a page to values."""
    lengths = np.asarray(array.value_lengths().fill_null(0), dtype=np.int64)
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    missing = np.asarray(array.is_null(), dtype=np.bool_)
    missing_vectors = missing if missing.any() else None
    inner = array.flatten()
    if extra.kind == "sparse":
        indices, values = (each.to_numpy(zero_copy_only=False) for each in inner.flatten())
        return RaggedArray(
            offsets, values.astype(np.float32), indices.astype(np.uint32), missing_vectors
        )
    flat = inner.flatten().to_numpy(zero_copy_only=False)
    return RaggedArray(
        offsets, flat.astype(np.float32).reshape(-1, extra.dim or 1), None, missing_vectors
    )


def plan_extras(
    end: Endpoint,
    extras: Mapping[str, ExtraVector],
    family: str,
    vectors: Mapping[str, Vector],
    *,
    created: bool,
    allow: frozenset[str],
) -> CollectionSchema:
    """Select the extra vectors that the target has or is created with.

    Args:
        family: family of the native settings (``Extra.native``) in the file.
        vectors: dense vectors. created: whether the import creates the collection.

    Raises:
        UnsupportedError: some are not supported and not allowed to be omitted.
    """
    if family != (end.store.profile.family):
        extras = {name: each.replace(native={}) for name, each in extras.items()}
    if created:
        wanted = supported_datatypes(extras, end.store)
        refused = {
            **multivectors_refused(wanted, end, vectors),
            **end.store.unsupported_schema(CollectionSchema(wanted)),
        }
    else:
        wanted = dict(end.store.collection_schema(end.name).extras)
        refused = missing_extras(extras, end)
    left = {name: refused.get(f"extras.{name}") for name in extras}
    for name, why in left.items():
        loss = LOSSES[extras[name].kind]
        if why is not None and loss not in allow:
            raise UnsupportedError(
                f"the target does not support the vector {name!r} of the file: {why}",
                hint=f"omit it with --allow {loss}",
            )
    return CollectionSchema({name: wanted[name] for name, why in left.items() if why is None})


def refuse_names(end: Endpoint, vectors: Mapping[str, Vector]) -> None:
    """Refuse named vectors if the database has unnamed ones only.

    Raises:
        UnsupportedError
    """
    problem = end.store.unsupported_vectors(vectors)
    if problem and takes_unnamed_only(end.store, vectors):
        raise UnsupportedError(
            problem, hint="import one column as the unnamed vector: --vectors =COLUMN"
        )
