"""The status of the vectors of a store that keeps rows only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qadapt.footprint import original_bytes
from qadapt.model import Evidence, Kind, Quantization, State, Status, Vector, VectorInfo


def vector_info(
    name: str,
    vector: Vector,
    quantization: Quantization,
    rows: int,
    coded: int,
    index: Mapping[str, Any] | None = None,
) -> VectorInfo:
    """The state of a vector from its row counts: active if each row has a code.

    Args:
        quantization: as configured.
        rows: number of rows with the vector.
        coded: number of rows with a code of it.
        index: the store's own parameters.
    """
    on = quantization.kind is not Kind.NONE
    return VectorInfo(
        name,
        vector.dim,
        vector.metric,
        vector.datatype,
        rows,
        index or {},
        quantization,
        _status(quantization, rows, coded),
        code_bytes=coded * quantization.code_bytes(vector.dim) if on else 0,
        float_bytes=original_bytes(rows, vector),
    )


def _status(quantization: Quantization, rows: int, coded: int) -> Status:
    evidence = (Evidence("rows with the vector", rows), Evidence("rows with a code", coded))
    if quantization.kind is Kind.NONE:
        return Status(State.ABSENT, evidence=evidence)
    if coded < rows:
        why = f"{rows - coded:,} of {rows:,} rows have no code"
        return Status(State.BUILDING, why, coded / rows, evidence)
    return Status(State.ACTIVE, evidence=evidence)
