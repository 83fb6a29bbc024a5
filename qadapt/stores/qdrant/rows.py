"""Conversion between ``Batch`` and Qdrant's points, for the server and the embedded engine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

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

    Args:
        records: as returned by ``scroll`` and ``retrieve``.
        wanted: the requested vectors.
        payload: whether payloads were requested.
    """
    found = [record.vector for record in records] if wanted else []
    vectors = {name: each for name, each in wanted.items() if isinstance(each, Vector)}
    extras = {
        name: _ragged([_vector_of(item, name) for item in found], each)
        for name, each in wanted.items()
        if isinstance(each, ExtraVector)
    }
    arrays: dict[str, npt.NDArray[np.float32]] = {}
    missing: dict[str, npt.NDArray[np.bool_]] = {}
    for name, vector in vectors.items():
        rows = [_vector_of(item, name) for item in found]
        absent = np.fromiter((row is None for row in rows), dtype=np.bool_, count=len(rows))
        array = np.zeros((len(rows), vector.dim), dtype=np.float32)
        there = [row for row in rows if row is not None]
        if there:
            array[~absent] = np.asarray(there, dtype=np.float32)
        arrays[name] = array
        if absent.any():
            missing[name] = absent
    return Batch(
        [plain(record.id) for record in records],
        arrays,
        [record.payload or {} for record in records] if payload else None,
        missing,
        extras,
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
    return keys if set(map(type, keys)) <= {int} else [plain(key) for key in keys]
