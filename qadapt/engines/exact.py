"""Exact scores of original vectors, used for ground truth."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from qadapt.model.metric import Metric

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]

# Times sqrt(d) and the norms of both vectors: maximum error of a float32 dot product.
ROUNDING = 4 * 2.0**-24
WIDE_ROUNDING = 4 * 2.0**-53  # the same of float64
PAIR_BYTES = 2 << 20  # bytes of pairs that are scored in float64 at once


def unit(rows: Floats) -> Floats:
    """Normalize rows with norms computed in float64; zero rows remain zero."""
    lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64))
    lengths[lengths == 0] = 1
    scaled: Floats = (rows / lengths[:, None]).astype(np.float32)
    return scaled


def exact_scores(queries: Floats, rows: Floats, metric: Metric) -> Floats:
    """Score all queries with all rows; higher is better.

    Args:
        queries: float32 ``(nq, d)``.
        rows: float32 ``(m, d)``.
        metric: cosine similarity, dot product or negative squared L2.

    Returns:
        float32 ``(nq, m)``; cosines are clipped to -1 and 1.
    """
    scores: Floats
    if metric is Metric.COSINE:
        scores = unit(queries) @ unit(rows).T
        return np.clip(scores, -1, 1, out=scores)
    if metric is Metric.DOT:
        scores = queries @ rows.T
        return scores
    scores = np.empty((len(queries), len(rows)), dtype=np.float32)
    step = max(1, PAIR_BYTES // (8 * max(1, len(queries), rows.shape[1])))
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        found, off = squared_distances(queries, part)
        # Sums that lost the precision of float32.
        at, of = np.nonzero(off > np.abs(found) * 2.0**-24)
        found[at, of] = pair_scores(queries, part, at, of, metric)
        with np.errstate(over="ignore"):
            scores[:, start : start + step] = found
    return scores


def squared_distances(queries: Floats, rows: Floats) -> tuple[Doubles, Doubles]:
    """Negative squared distances of all pairs by one float64 product, and their maximum errors.

    The error of ``2qx - |q|^2 - |x|^2`` grows with the norms of a pair, not with its distance.

    Args:
        queries: float32 ``(nq, d)``.
        rows: float32 ``(m, d)``.

    Returns:
        Two float64 ``(nq, m)``.
    """
    q, x = queries.astype(np.float64), rows.astype(np.float64)
    far, long = lengths(queries)[:, None], lengths(rows)[None, :]
    scores: Doubles = q @ x.T
    scores *= 2
    scores -= far * far
    scores -= long * long
    off: Doubles = np.square(far + long)
    off *= WIDE_ROUNDING * np.sqrt(queries.shape[1])
    return np.minimum(scores, 0, out=scores), off


def exact_row_scores(query: Floats, rows: Floats, metric: Metric) -> Floats:
    """Score one query ``(d,)`` with rows ``(c, d)``; float32 ``(c,)``.

    Computed in float64 and rounded once, so that equal rows have equal scores.
    """
    of = np.arange(len(rows))
    scores = pair_scores(query[None, :], rows, np.zeros_like(of), of, metric)
    with np.errstate(over="ignore"):
        found: Floats = scores.astype(np.float32)
    return found


def best_candidates(
    queries: Floats, vectors: Floats, candidates: npt.NDArray[np.int64], k: int, metric: Metric
) -> tuple[npt.NDArray[np.int64], Floats]:
    """Rescore candidates of each query with their original vectors, and return the best.

    Scores are computed in float64 and rounded once, so that equal vectors have equal scores. Equal
    scores are in the order of the candidates.

    Args:
        queries: float32 ``(nq, d)``.
        vectors: float32 ``(m, d)``, originals of all candidates.
        candidates: int64 ``(nq, c)``, numbers of ``vectors``; -1 for none.
        k: number of results.
        metric: metric of the scores.

    Returns:
        places: int64 ``(nq, min(k, c))``, positions in the rows of ``candidates``, best first; -1
            for none.
        scores: float32, the same shape; NaN for none.
    """
    there = candidates >= 0
    at, column = np.nonzero(there)
    scores = np.full(candidates.shape, -np.inf)
    scores[there] = pair_scores(queries, vectors, at, candidates[at, column], metric)
    with np.errstate(over="ignore"):
        rounded: Floats = scores.astype(np.float32)
    # A candidate may score -inf, too, and "none" must still be last.
    order = np.lexsort((-rounded, ~there), axis=1)[:, :k]
    rounded = np.take_along_axis(rounded, order, axis=1)
    none = ~np.take_along_axis(there, order, axis=1)
    rounded[none] = np.nan
    places = order.astype(np.int64)
    places[none] = -1
    return places, rounded


def tolerance(scores: npt.ArrayLike, dim: int) -> Doubles:
    """Score differences within which a float32 engine may order rows differently.

    Args:
        scores: exact scores, any shape.
        dim: dimensions of the vectors.

    Returns:
        ``4 * 2^-24 * sqrt(dim) * max(1, |score|)``, float64 of the same shape.
    """
    size = np.maximum(1.0, np.abs(np.asarray(scores, dtype=np.float64)))
    found: Doubles = ROUNDING * np.sqrt(dim) * size
    return found


def lengths(vectors: Floats) -> Doubles:
    """L2 norms ``(n,)`` of float32 ``(n, d)``, accumulated in float64."""
    with np.errstate(invalid="ignore"):
        found: Doubles = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    return found


def pair_scores(queries: Floats, rows: Floats, at: Ints, of: Ints, metric: Metric) -> Doubles:
    """Score pairs of queries and rows in float64.

    Args:
        queries: float32 ``(nq, d)``.
        rows: float32 ``(m, d)``.
        at, of: ``(p,)``, query and row number of each pair.

    Returns:
        float64 ``(p,)``, higher is better: cosine from -1 to 1 (0 for a zero vector), dot
        product, or negative squared L2.
    """
    found = np.empty(len(at))
    step = max(1, PAIR_BYTES // (16 * max(1, queries.shape[1])))
    for start in range(0, len(at), step):
        part = slice(start, start + step)
        q, x = queries[at[part]].astype(np.float64), rows[of[part]].astype(np.float64)
        if metric is Metric.EUCLIDEAN:
            q -= x
            found[part] = -np.einsum("ij,ij->i", q, q)
            continue
        scores = np.einsum("ij,ij->i", q, x)
        if metric is Metric.COSINE:
            scores = cosine(scores, np.einsum("ij,ij->i", q, q), np.einsum("ij,ij->i", x, x))
        found[part] = scores
    return found


def cosine(products: Doubles, q_squares: Doubles, x_squares: Doubles) -> Doubles:
    """Cosines from dot products and squared norms, clipped to -1 and 1; 0 for zero vectors."""
    # Two square roots, because the product of two squares may overflow float64.
    both = np.sqrt(q_squares) * np.sqrt(x_squares)
    both[both == 0] = 1
    found: Doubles = np.clip(products / both, -1, 1)
    return found
