"""Scores of the distances that SQL databases return."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence

from qadapt.model import Metric


def scores(metric: Metric, distances: Sequence[float]) -> list[float]:
    """The scores of distances, exact in float32: cosine similarity of ``1 - cosine``, dot product
    of its negative, negative squared distance."""
    if metric is Metric.COSINE:
        return float32(1.0 - each for each in distances)
    if metric is Metric.DOT:
        return float32(-each for each in distances)
    return float32(-each * each for each in distances)


def float32(values: Iterable[float]) -> list[float]:
    """The values, rounded to float32."""
    # Without numpy: after a search in this process, its code is not in the processor's cache.
    return array("f", values).tolist()
