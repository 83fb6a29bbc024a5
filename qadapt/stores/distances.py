"""Scores of the distances that databases return."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Mapping
from operator import neg

from qadapt.model import Metric

_ONE_MINUS = (1.0).__sub__


def float32(values: Iterable[float]) -> list[float]:
    """The values, rounded to float32."""
    # Without numpy: after a search in this process, its code is not in the processor's cache.
    return array("f", values).tolist()


def one_minus(distances: Iterable[float]) -> list[float]:
    """``1 - distance``, rounded to float32."""
    return array("f", map(_ONE_MINUS, distances)).tolist()


def negative(distances: Iterable[float]) -> list[float]:
    """``-distance``, rounded to float32."""
    return array("f", map(neg, distances)).tolist()


def negative_squares(distances: Iterable[float]) -> list[float]:
    """The negative squares, rounded to float32."""
    return float32(-each * each for each in distances)


# The scores of distances, exact in float32: cosine similarity of ``1 - cosine``, dot product of its
# negative, negative squared distance.
SCORES: Mapping[Metric, Callable[[Iterable[float]], list[float]]] = {
    Metric.COSINE: one_minus,
    Metric.DOT: negative,
    Metric.EUCLIDEAN: negative_squares,
}
