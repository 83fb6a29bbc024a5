"""k-means for product codes and for the lists of an inverted file."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.intp]

SAMPLE = 10_000  # rows from which centroids are learned, as in Qdrant
ROUNDS = 15
BLOCK = 4096


def kmeans(rows: Floats, count: int, *, rounds: int = ROUNDS, seed: int = 0) -> Floats:
    """Centroids ``(<= count, w)`` of rows ``(n, w)``: Lloyd's algorithm from random rows."""
    random = np.random.default_rng(seed)
    if len(rows) > SAMPLE:
        rows = rows[random.choice(len(rows), SAMPLE, replace=False)]
    count = min(count, len(rows))
    centroids = rows[random.choice(len(rows), count, replace=False)].astype(np.float32)
    for _ in range(rounds):
        nearest = assign(rows, centroids)
        sizes = np.bincount(nearest, minlength=count)
        sums = np.stack(
            [np.bincount(nearest, weights=column, minlength=count) for column in rows.T], axis=1
        )
        filled = sizes > 0
        centroids[filled] = (sums[filled] / sizes[filled, None]).astype(np.float32)
        # A centroid without rows restarts from a random row.
        lost = np.flatnonzero(~filled)
        centroids[lost] = rows[random.choice(len(rows), len(lost))]
    return centroids


def assign(rows: Floats, centroids: Floats) -> Ints:
    """The nearest centroid of each row, ``(n,)``."""
    if rows.shape[1] == 1:
        return _assign_numbers(rows[:, 0], centroids[:, 0])
    half = np.einsum("ij,ij->i", centroids, centroids) / 2
    found = np.empty(len(rows), dtype=np.intp)
    for start in range(0, len(rows), BLOCK):
        block = rows[start : start + BLOCK]
        found[start : start + BLOCK] = np.argmax(block @ centroids.T - half, axis=1)
    return found


def _assign_numbers(values: Floats, centroids: Floats) -> Ints:
    order = np.argsort(centroids)
    between = (centroids[order][1:] + centroids[order][:-1]) / 2
    return order[np.searchsorted(between, values)]


class Products:
    """Product codes: each segment of a vector is replaced by its nearest centroid."""

    def __init__(self, segments: list[slice], centroids: int = 256) -> None:
        self._segments = segments
        self._count = centroids
        self._books: list[Floats] = []

    @classmethod
    def of(cls, dim: int, width: int, centroids: int = 256) -> Products:
        """Segments of ``width`` dimensions; the last one has the remaining dimensions."""
        cuts = [slice(start, min(start + width, dim)) for start in range(0, dim, width)]
        return cls(cuts, centroids)

    def fit(self, rows: Floats) -> None:
        """Learn the centroids."""
        self._books = [
            kmeans(np.ascontiguousarray(rows[:, cut]), self._count, seed=at)
            for at, cut in enumerate(self._segments)
        ]

    def stand_for(self, rows: Floats) -> Floats:
        """The decoded values of rows, float32 of the same shape."""
        found = np.empty_like(rows)
        for cut, book in zip(self._segments, self._books, strict=True):
            found[:, cut] = book[assign(np.ascontiguousarray(rows[:, cut]), book)]
        return found
