"""Conversion between ``Batch`` and Qdrant's points, for the server and the embedded engine."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from qadapt.errors import InputError
from qadapt.model import Batch, ExtraVector, Id, RaggedArray, Vector
from qadapt.model.ragged_arrays import from_multivectors, from_sparse

CHUNK_BYTES = 2 << 20
MAX_DEPTH = 64


# -- writing -------------------------------------------------------------------------------------


def check_payloads(payloads: Sequence[Mapping[str, Any]] | None) -> None:
    """Reject payloads that the engine would reject midway or silently change.

    It stores integers beyond 64 bits as floats and bytes as lists of numbers, and fails at NaN, at
    keys that are not text and at other types after earlier rows are already written.

    Raises:
        InputError: names the row and the field.
    """
    for row, payload in enumerate(payloads or ()):
        if not isinstance(payload, Mapping):
            raise InputError(
                f"the payload of row {row} is a {type(payload).__name__}, not a dict",
                hint="use {} for a row without payload, or payloads=None for none",
            )
        _check_json(payload, row, "", 0)


def _check_json(value: Any, row: int, place: str, depth: int) -> None:
    problem = None
    if value is None or isinstance(value, bool):
        return
    if isinstance(value, str):
        if not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
            problem = "is text with a lone surrogate, which is not valid Unicode"
    elif isinstance(value, int):
        if not -(2**63) <= value < 2**64:
            problem = f"is the number {value}, which does not fit into 64 bits"
    elif isinstance(value, float):
        if not math.isfinite(value):
            problem = f"is {value}, which JSON cannot represent"
    elif depth > MAX_DEPTH:
        problem = f"is nested deeper than {MAX_DEPTH} levels"
    elif isinstance(value, (list, tuple)):
        for at, item in enumerate(value):
            _check_json(item, row, f"{place}[{at}]", depth + 1)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                problem = f"has the key {key!r}, which is not text"
                break
            _check_json(item, row, f"{place}.{key}" if place else key, depth + 1)
    else:
        problem = f"is a {type(value).__name__}, which JSON cannot represent"
    if problem:
        raise InputError(
            f"the payload of row {row}: {place or 'the payload'} {problem}",
            hint="payloads must be JSON; nothing was written",
        )


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
