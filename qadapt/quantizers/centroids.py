"""k-means for product codes and for the lists of an inverted file."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.intp]

SAMPLE = 10_000  # rows for training, as in Qdrant's engine
# Rounds of k-means on the first rows of a random order: the first rounds only find rough places.
# They cost a third of 15 rounds on all rows; codes lose 2.5 % more, and recall@10 of codes without
# rescoring is the same within 0.01. With one round on 6,000 rows instead of the last two, product
# codes of 12 bytes on LanceDB were predicted 0.03 too low.
GROWING = ((2_000, 4), (5_000, 3), (SAMPLE, 2))
ROWS_A_CENTROID = 8  # fewest rows of a round
BLOCK = 4096  # rows per matrix product
NARROW = 64  # dimensions up to which a product of BLOCK rows is not worth threads
PRODUCT = 1 << 19  # multiplications of a product that runs in one thread
SMALLEST = 16


def kmeans(rows: Floats, count: int, *, rounds: int | None = None, seed: int = 0) -> Floats:
    """Centroids ``(<= count, w)`` of rows ``(n, w)``, by Lloyd's algorithm.

    Args:
        rounds: of all rows; None for rounds of growing samples.
    """
    random = np.random.default_rng(seed)
    rows = rows[random.permutation(len(rows))[:SAMPLE]]
    count = min(count, len(rows))
    centroids = rows[:count].astype(np.float32)
    for most, times in GROWING if rounds is None else ((SAMPLE, rounds),):
        part = rows[: max(most, ROWS_A_CENTROID * count)]
        for _ in range(times):
            _improve(centroids, part, random)
    return centroids


def _improve(centroids: Floats, rows: Floats, random: np.random.Generator) -> None:
    """One round: move each centroid to the mean of the rows that are nearest to it."""
    count = len(centroids)
    nearest = assign(rows, centroids)
    sizes = np.bincount(nearest, minlength=count)
    filled = sizes > 0
    sums = _sums(rows, nearest, count)
    centroids[filled] = (sums[filled] / sizes[filled, None]).astype(np.float32)
    # An empty cluster restarts from a random row.
    lost = np.flatnonzero(~filled)
    centroids[lost] = rows[random.choice(len(rows), len(lost))]


def _sums(rows: Floats, nearest: Ints, count: int) -> npt.NDArray[np.float64]:
    """The sum of the rows of each cluster, ``(count, w)``."""
    if rows.shape[1] <= NARROW:
        columns = [np.bincount(nearest, weights=column, minlength=count) for column in rows.T]
        return np.stack(columns, axis=1)
    order = np.argsort(nearest, kind="stable")
    found = np.zeros((count, rows.shape[1]))
    there, starts = np.unique(nearest[order], return_index=True)
    found[there] = np.add.reduceat(rows[order], starts, axis=0, dtype=np.float64)
    return found


def assign(rows: Floats, centroids: Floats) -> Ints:
    """The nearest centroid of each row, ``(n,)``."""
    count, width = centroids.shape
    if width == 1:
        return _assign_numbers(rows[:, 0], centroids[:, 0])
    # The additional column subtracts half of the squared norm within the matrix product.
    half = np.einsum("ij,ij->i", centroids, centroids) / 2
    factor = np.ascontiguousarray(np.concatenate([centroids, -half[:, None]], axis=1).T)
    step = _block(count, width)
    scores = np.empty((min(step, len(rows)), count), dtype=np.float32)
    block = np.ones((len(scores), width + 1), dtype=np.float32)
    found = np.empty(len(rows), dtype=np.intp)
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        block[: len(part), :width] = part
        here = np.matmul(block[: len(part)], factor, out=scores[: len(part)])
        np.argmax(here, axis=1, out=found[start : start + step])
    return found


def _block(count: int, width: int) -> int:
    """Rows per matrix product.

    The scores of short rows fit into the CPU cache, and their products are too small for OpenBLAS
    to start threads, which would take 20 times as long as the product on a busy machine.
    """
    if width > NARROW:
        return BLOCK
    return max(SMALLEST, PRODUCT // (count * (width + 1)))


def _assign_numbers(values: Floats, centroids: Floats) -> Ints:
    order = np.argsort(centroids)
    between = (centroids[order][1:] + centroids[order][:-1]) / 2
    return order[np.searchsorted(between, values)]


class Products:
    """Product codes: each segment of a vector is replaced by its nearest centroid."""

    def __init__(
        self, segments: list[slice], centroids: int = 256, rounds: int | None = None
    ) -> None:
        self._segments = segments
        self._count = centroids
        self._rounds = rounds
        self._books: list[Floats] = []

    @classmethod
    def of(
        cls, dim: int, width: int, centroids: int = 256, *, rounds: int | None = None
    ) -> Products:
        """Segments of ``width`` dimensions; the last one may be shorter."""
        cuts = [slice(start, min(start + width, dim)) for start in range(0, dim, width)]
        return cls(cuts, centroids, rounds)

    @property
    def centroids(self) -> list[Floats]:
        """The centroids ``(count, w)`` of each segment."""
        return list(self._books)

    def fit(self, rows: Floats) -> None:
        """Learn the centroids."""

        def book(at: int) -> Floats:
            part = np.ascontiguousarray(rows[:, self._segments[at]])
            return kmeans(part, self._count, rounds=self._rounds, seed=at)

        # numpy releases the interpreter's lock in products and in argmax.
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            self._books = list(threads.map(book, range(len(self._segments))))

    def stand_for(self, rows: Floats) -> Floats:
        """Rows decoded from their codes, float32 of the same shape."""
        found = np.empty_like(rows)

        def decode(cut: slice, book: Floats) -> None:
            found[:, cut] = book[assign(np.ascontiguousarray(rows[:, cut]), book)]

        with ThreadPoolExecutor(os.cpu_count()) as threads:
            for _ in threads.map(decode, self._segments, self._books):
                pass
        return found
