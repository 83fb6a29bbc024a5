"""Best rows of each query by exact score, for rows that are added in pages.

Every page is scored in float32. Only pairs that may be among the best, given the error of float32,
are scored again in float64. The result equals float64 arithmetic at about the cost of one float32
matrix product.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qadapt.engines.exact import (
    PAIR_BYTES,
    ROUNDING,
    Doubles,
    Floats,
    Ints,
    cosine,
    lengths,
    pair_scores,
    squared_distances,
    unit,
)
from qadapt.model.metric import Metric

Mask = npt.NDArray[np.bool_]
Objects = npt.NDArray[np.object_]

BLOCK = 256  # queries scored at once
DENSE_BLOCK = 64  # the same in float64
DENSE = 16  # from 1 / DENSE of a page, a float64 matrix product is faster than single pairs
LARGE = 1e36  # float32 products above this may overflow
# Norms whose squares, and products with unit vectors, float32 represents without loss of precision.
SHORTEST, LONGEST = 1e-15, 1e15
_LOWEST = np.finfo(np.float32).min


class Nearest:
    """Best ``k`` rows of each query.

    Args:
        queries: float32 ``(nq, d)``, finite.
        metric: metric of the scores.
        k: rows to keep per query.

    Attributes:
        names: object ``(nq, k)``, names that were passed to ``add``, best first; padded with None.
            Equal scores are in the order of addition.
        scores: float64 ``(nq, k)``, exact; padded with -inf.
    """

    def __init__(self, queries: Floats, metric: Metric, k: int) -> None:
        self.k = k
        self.names: Objects = np.full((len(queries), k), None, dtype=object)
        self.scores: Doubles = np.full((len(queries), k), -np.inf)
        self._queries, self._metric = queries, metric
        self._units = unit(queries) if metric is Metric.COSINE else queries
        self._lengths = lengths(queries)

    def add(self, rows: Floats, names: Objects, absent: Mask | None = None) -> None:
        """Add a page of rows.

        Args:
            rows: float32 ``(m, d)``; non-finite rows are ignored.
            names: ``(m,)``.
            absent: bool ``(m,)``, rows without the vector.
        """
        if not len(rows):
            return
        page = _Page.of(rows, names, absent, self._metric)
        for start in range(0, len(self._queries), BLOCK):
            self._add(slice(start, start + BLOCK), page)

    def _add(self, block: slice, page: _Page) -> None:
        floor = self.scores[block, -1]
        scores, off = page.screened(self._units[block], self._lengths[block])
        near = scores >= _below(floor, off)
        counts = near.sum(axis=1)
        many = DENSE * counts > len(page.rows)
        if many.any() and len(page.rows) > self.k:
            place = len(page.rows) - self.k
            best = np.partition(scores[many], place, axis=1)[:, place].astype(np.float64)
            floor = floor.copy()
            floor[many] = np.fmax(floor[many], best - off[many])
            near[many] = scores[many] >= _below(floor[many], off[many])
            counts = near.sum(axis=1)
        many = (DENSE * counts > len(page.rows)) | ~np.isfinite(off)
        if (~many & (counts > 0)).any():
            near[many] = False
            at, of = np.nonzero(near)
            values = pair_scores(self._queries[block], page.rows, at, of, self._metric)
            self._merge(block.start, at, of, values, page)
        del scores, near
        left = np.flatnonzero(many) + block.start
        for query in range(0, len(left), DENSE_BLOCK):
            self._merge_dense(left[query : query + DENSE_BLOCK], page)

    def _merge(self, first: int, at: Ints, of: Ints, values: Doubles, page: _Page) -> None:
        """Add pairs, sorted by query."""
        where, starts, counts = np.unique(at, return_index=True, return_counts=True)
        scores = np.full((len(where), int(counts.max())), -np.inf)
        names = np.full(scores.shape, None, dtype=object)
        line = np.repeat(np.arange(len(where)), counts)
        spot = np.arange(len(at)) - np.repeat(starts, counts)
        scores[line, spot] = values
        names[line, spot] = page.names[of]
        self._keep(where + first, scores, names)

    def _merge_dense(self, queries: Ints, page: _Page) -> None:
        """Add all rows of a page for queries that cannot be scored in float32."""
        scores = page.settled(self._queries[queries], self.scores[queries, -1], self.k)
        if scores.shape[1] > self.k:
            # Scores equal to the last one kept remain in the order of addition.
            place = scores.shape[1] - self.k
            least = np.partition(scores, place, axis=1)[:, place, None]
            over = (scores > least).sum(axis=1, keepdims=True)
            same = scores == least
            keep = (scores > least) | (same & (np.cumsum(same, axis=1) <= self.k - over))
            spot = np.nonzero(keep)[1].reshape(len(scores), self.k)
        else:
            spot = np.broadcast_to(np.arange(scores.shape[1]), scores.shape)
        self._keep(queries, np.take_along_axis(scores, spot, axis=1), page.names[spot])

    def _keep(self, queries: Ints, scores: Doubles, names: Objects) -> None:
        scores = np.concatenate([self.scores[queries], scores], axis=1)
        names = np.concatenate([self.names[queries], names], axis=1)
        order = np.argsort(-scores, axis=1, kind="stable")[:, : self.k]
        kept = np.take_along_axis(scores, order, axis=1)
        self.scores[queries] = kept
        called = np.take_along_axis(names, order, axis=1)
        called[kept == -np.inf] = None
        self.names[queries] = called


def reaching(queries: Floats, rows: Floats, metric: Metric, least: Doubles) -> tuple[Ints, Ints]:
    """Pairs whose exact score is at least the limit of the query in ``least``.

    Args:
        queries: float32 ``(nq, d)``, finite.
        rows: float32 ``(m, d)``; non-finite rows are in no pair.
        least: float64 ``(nq,)``.

    Returns:
        Query and row number of each pair, sorted by query and row.
    """
    page = _Page.of(rows, objects(range(len(rows))), None, metric)
    units = unit(queries) if metric is Metric.COSINE else queries
    found: list[tuple[Ints, Ints]] = [(np.empty(0, dtype=np.intp), np.empty(0, dtype=np.intp))]
    for start in range(0, len(queries), DENSE_BLOCK):
        block = slice(start, start + DENSE_BLOCK)
        scores, off = page.screened(units[block], lengths(queries[block]))
        near = scores >= _below(least[block], off)
        near[~np.isfinite(off)] = ~page.absent
        at, of = np.nonzero(near)
        good = pair_scores(queries[block], rows, at, of, metric) >= least[block][at]
        found.append((at[good] + start, of[good]))
    at, of = (np.concatenate(each) for each in zip(*found, strict=True))
    return at, of


def _below(floor: Doubles, off: Doubles) -> Floats:
    """Minimum float32 score ``(nq, 1)`` of rows whose exact score may reach ``floor``."""
    with np.errstate(over="ignore", invalid="ignore"):
        limit = np.nextafter((floor - off).astype(np.float32), np.float32(-np.inf))
    # Rows that must not be returned score -inf.
    found: Floats = np.fmax(limit, _LOWEST)[:, None]
    return found


@dataclass(frozen=True)
class _Page:
    """Rows of a page, prepared once for all queries.

    Attributes:
        rows, names: rows and their names.
        absent: bool ``(m,)``, rows without the vector.
        metric: metric of the scores.
        matrix: float32 ``(m, d)``, factor of the matrix product.
        centre: float32 ``(d,)``, subtracted from rows and queries under L2.
        squares: float32 ``(m,)``, squared norms of ``matrix`` under L2.
        longest: largest norm of the rows of ``matrix``.
        scale: float32 ``(m,)``, factors of the scores of each row, 1 / norm; None for 1.
    """

    rows: Floats
    names: Objects
    absent: Mask
    metric: Metric
    matrix: Floats
    centre: Floats
    squares: Floats
    longest: float
    scale: Floats | None = None

    @classmethod
    def of(cls, rows: Floats, names: Objects, absent: Mask | None, metric: Metric) -> _Page:
        if metric is not Metric.EUCLIDEAN:
            page = cls._unscaled(rows, names, absent, metric)
            if page is not None:
                return page
        away = ~np.isfinite(lengths(rows))
        if absent is not None:
            away |= absent
        # Rows without a vector must not affect the mean or the largest norm.
        rows = np.where(away[:, None], np.float32(0), rows) if away.any() else rows
        matrix, centre, longest = rows, np.zeros(rows.shape[1], dtype=np.float32), 1.0
        squares = np.zeros(0, dtype=np.float32)
        if metric is Metric.COSINE:
            matrix = unit(rows)
        elif metric is Metric.DOT:
            longest = float(lengths(rows).max())
        else:
            # |q - x|^2 computed by dot products loses precision for long vectors that are close
            # together; subtracting the mean of the rows first reduces their norms.
            centre = rows.mean(axis=0, dtype=np.float64).astype(np.float32)
            matrix = rows - centre
            wide = lengths(matrix)
            longest = float(wide.max())
            with np.errstate(over="ignore"):
                squares = (wide * wide).astype(np.float32)
        return cls(rows, names, away, metric, matrix, centre, squares, longest)

    @classmethod
    def _unscaled(
        cls, rows: Floats, names: Objects, absent: Mask | None, metric: Metric
    ) -> _Page | None:
        """A page whose matrix is ``rows`` itself, with norms in float32; None if the norms of some
        rows require float64.
        """
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            norms = np.sqrt(np.einsum("ij,ij->i", rows, rows))
        away = np.zeros(len(rows), dtype=np.bool_) if absent is None else absent
        if not (away | ((norms > SHORTEST) & (norms < LONGEST))).all():
            return None
        norms[away] = 1
        none = np.zeros(0, dtype=np.float32)
        # The norms have a relative error of at most ROUNDING * sqrt(d), which `screened` adds.
        scale = 1 / norms if metric is Metric.COSINE else None
        longest = 1.0 if metric is Metric.COSINE else float(norms.max())
        return cls(rows, names, away, metric, rows, none, none, longest, scale)

    def screened(self, queries: Floats, long: Doubles) -> tuple[Floats, Doubles]:
        """Scores float32 ``(nq, m)`` and their maximum error per query; infinite if float32
        overflows.

        Args:
            queries: normalized under cosine.
            long: their original norms.
        """
        size = float(np.sqrt(queries.shape[1]))
        scores: Floats
        most: Doubles
        with np.errstate(over="ignore", invalid="ignore"):
            if self.metric is Metric.EUCLIDEAN:
                q: Floats = queries - self.centre
                long = lengths(q)
                own: Floats = (long * long).astype(np.float32)
                scores = q @ self.matrix.T
                scores *= 2
                scores -= self.squares
                scores -= own[:, None]
                most = np.square(long + self.longest)
            else:
                scores = queries @ self.matrix.T
                most = long * self.longest if self.metric is Metric.DOT else np.ones(len(queries))
            if self.scale is not None:
                scores *= self.scale
        off: Doubles = (2 if self.scale is not None else 1.01) * ROUNDING * size * most
        off[most > LARGE] = np.inf
        if self.absent.any():
            scores[:, self.absent] = -np.inf
        return scores, off

    def settled(self, queries: Floats, floor: Doubles, k: int) -> Doubles:
        """Scores float64 ``(nq, m)``; -inf for rows that must not be returned.

        Args:
            floor, k: under L2, rows that cannot score at least ``floor`` ``(nq,)``, or be among the
                best ``k``, score -inf.
        """
        if self.metric is Metric.EUCLIDEAN:
            return self._distances(queries, floor, k)
        scores = np.empty((len(queries), len(self.rows)))
        step = max(1, PAIR_BYTES // (8 * max(1, queries.shape[1])))
        q = queries.astype(np.float64)
        squares = np.einsum("ij,ij->i", q, q)
        for start in range(0, len(self.rows), step):
            part = slice(start, start + step)
            x = self.rows[part].astype(np.float64)
            products = q @ x.T
            own = np.einsum("ij,ij->i", x, x)
            if self.metric is Metric.COSINE:
                products = cosine(products, squares[:, None], own[None, :])
            scores[:, part] = products
        scores[:, self.absent] = -np.inf
        return scores

    def _distances(self, queries: Floats, floor: Doubles, k: int) -> Doubles:
        """Exact L2 scores of the rows that may be among the best.

        With norms from 1e-9 to 1e9, the float64 product also loses all digits of some pairs, but
        its error is known for each pair.
        """
        found, off = squared_distances(queries, self.rows)
        found[:, self.absent] = -np.inf
        if len(self.rows) > k:
            place = len(self.rows) - k
            floor = np.fmax(floor, np.partition(found - off, place, axis=1)[:, place])
        at, of = np.nonzero((found + off >= floor[:, None]) & ~self.absent)
        scores = np.full(found.shape, -np.inf)
        scores[at, of] = pair_scores(queries, self.rows, at, of, self.metric)
        return scores


def objects(names: Any) -> Objects:
    """Convert a sequence to a one-dimensional object array."""
    found = np.empty(len(names), dtype=object)
    found[:] = names
    return found
