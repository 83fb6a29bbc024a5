"""Conversion of a batch to the engine's points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from qadapt.model import Batch, Id
from qadapt.stores.qdrant import extra_vectors

if TYPE_CHECKING:
    import qdrant_edge


def points(edge: Any, ids: Sequence[Id], batch: Batch) -> list[qdrant_edge.Point]:
    """The engine's points for a batch whose ids are already in the engine's format.

    Vectors are passed as memory views: the binding reads any sequence number by number, and a view
    is read 2.5 times as fast as a numpy row (``benchmarks/qdrant_overhead.py``).
    """
    nothing: list[Any] = [None] * len(ids)
    payloads = nothing if batch.payloads is None else batch.payloads
    present = {name: ~mask for name, mask in batch.missing.items()}
    if set(batch.vectors) == {""} and not present and not batch.extras:
        rows = batch.vectors[""]
        return [
            edge.Point(key, memoryview(row), payload)
            for key, row, payload in zip(ids, rows, payloads, strict=True)
        ]
    return [
        edge.Point(
            key,
            {
                **{
                    name: memoryview(array[at])
                    for name, array in batch.vectors.items()
                    if name not in present or present[name][at]
                },
                **{name: _extra(edge, value) for name, value in more.items()},
            },
            payloads[at],
        )
        for at, (key, more) in enumerate(zip(ids, extra_vectors.each_row(batch), strict=True))
    ]


def _extra(edge: Any, value: Any) -> Any:
    """A multivector as views of its rows, or a sparse vector."""
    if isinstance(value, tuple):
        return edge.SparseVector(*value)
    return [memoryview(row) for row in value]
