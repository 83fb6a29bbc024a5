"""Conversion between ``Batch`` and Qdrant's points, for the server and the embedded engine."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from qadapt.model import Batch, ExtraVector, Id, RaggedArray, Vector
from qadapt.model.ragged_arrays import from_multivectors, from_sparse

CHUNK_BYTES = 2 << 20


# -- writing -------------------------------------------------------------------------------------


def chunks(batch: Batch) -> Iterator[Batch]:
    """Split a batch into chunks of about 2 MB of vectors."""
    each = max(1, batch.nbytes // max(1, len(batch)))
    step = max(1, CHUNK_BYTES // each)
    for start in range(0, len(batch), step):
        yield batch.rows(start, start + step)


# -- reading -------------------------------------------------------------------------------------


def to_batch(
    records: Sequence[Any], wanted: Mapping[str, Vector | ExtraVector], payload: bool
) -> Batch:
    """Convert the engine's records to a batch.

    Vectors are packed one row at a time: a page of Python floats takes 8 times the memory of the
    array, and three times as long to convert.

    Args:
        records: as returned by ``scroll`` and ``retrieve``.
        wanted: the requested vectors.
        payload: whether payloads were requested.
    """
    vectors = {name: each for name, each in wanted.items() if isinstance(each, Vector)}
    extras = {name: each for name, each in wanted.items() if isinstance(each, ExtraVector)}
    count = len(records)
    arrays = {name: np.zeros((count, each.dim), dtype=np.float32) for name, each in vectors.items()}
    absent = {name: np.zeros(count, dtype=np.bool_) for name in vectors}
    ragged: dict[str, list[Any]] = {name: [] for name in extras}
    packers = [
        (name, struct.Struct(f"{each.dim}f"), arrays[name].data.cast("B"))
        for name, each in vectors.items()
        if count
    ]
    for at, record in enumerate(records if wanted else ()):
        found = record.vector  # the binding converts all numbers at each access
        for name, packer, view in packers:
            row = _vector_of(found, name)
            if row is None:
                absent[name][at] = True
            else:
                packer.pack_into(view, at * packer.size, *row)
        for name, rows in ragged.items():
            rows.append(_vector_of(found, name))
    return Batch(
        [plain(record.id) for record in records],
        arrays,
        [record.payload or {} for record in records] if payload else None,
        {name: mask for name, mask in absent.items() if mask.any()},
        {name: _ragged(rows, extras[name]) for name, rows in ragged.items()},
    )


def _ragged(rows: Sequence[Any], extra: ExtraVector) -> RaggedArray:
    if extra.kind == "multi":
        return from_multivectors(rows, extra.dim or 1)
    return from_sparse([None if row is None else (row.indices, row.values) for row in rows])


def _vector_of(found: Any, name: str) -> Any:
    """One vector of a record; None if it is missing.

    A record with only the unnamed vector returns it as a list, otherwise all vectors by name.
    """
    if isinstance(found, list):
        return None if name else found
    return (found or {}).get(name)


def plain(key: Any) -> Id:
    """An id of the engine: an int unchanged, a UUID in canonical form."""
    return key if isinstance(key, int) else str(key)


def plain_ids(keys: list[Any]) -> list[Id]:
    """Ids of the engine, as ``plain`` converts them."""
    try:
        sum(keys)  # the fastest test: UUIDs and strings cannot be added to integers
    except TypeError:
        return [plain(key) for key in keys]
    return keys
