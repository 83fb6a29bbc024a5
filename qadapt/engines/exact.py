"""Exact scores of float vectors: the truth that everything else is measured against."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from qadapt.model.metric import Metric

Floats = npt.NDArray[np.float32]


def unit(rows: Floats) -> Floats:
    """Rows of length 1, lengths taken in float64; zero rows stay zero."""
    lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64))
    lengths[lengths == 0] = 1
    scaled: Floats = (rows / lengths[:, None]).astype(np.float32)
    return scaled


def exact_scores(queries: Floats, rows: Floats, metric: Metric) -> Floats:
    """Scores of every query with every row, higher is better.

    Args:
        queries: float32 ``(nq, d)``.
        rows: float32 ``(m, d)``.
        metric: cosine similarity, dot product or negative squared L2.

    Returns:
        float32 ``(nq, m)``.
    """
    scores: Floats
    if metric is Metric.COSINE:
        scores = unit(queries) @ unit(rows).T
        return scores
    if metric is Metric.DOT:
        scores = queries @ rows.T
        return scores
    # |q - x|^2 by the dot product loses digits where vectors are long and near one another;
    # centring on the rows' mean first takes away the part that they share.
    centre = rows.mean(axis=0, dtype=np.float64).astype(np.float32)
    q, x = queries - centre, rows - centre
    squares = np.einsum("ij,ij->i", x, x)[None, :] + np.einsum("ij,ij->i", q, q)[:, None]
    scores = np.minimum(2 * (q @ x.T) - squares, 0).astype(np.float32)
    return scores


def exact_row_scores(query: Floats, rows: Floats, metric: Metric) -> Floats:
    """Scores of one query ``(d,)`` with its own rows ``(c, d)``; float32 ``(c,)``."""
    if metric is Metric.EUCLIDEAN:
        difference = rows - query
        distances: Floats = np.einsum("ij,ij->i", difference, difference)
        return -distances
    row: Floats = exact_scores(query[None, :], rows, metric)[0]
    return row


@dataclass
class RunningTop:
    """The best ``k`` of each query over rows that arrive in blocks.

    Equal scores keep the order of arrival.

    Attributes:
        k: how many to keep.
        rows: int64 ``(nq, <=k)``, numbers of the rows by arrival.
        scores: float32, the same shape, best first.
    """

    k: int
    rows: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty((0, 0), dtype=np.int64))
    scores: Floats = field(default_factory=lambda: np.empty((0, 0), dtype=np.float32))
    seen: int = 0

    def add(self, scores: Floats) -> None:
        """Take in the scores ``(nq, m)`` of the next ``m`` rows."""
        rows = np.broadcast_to(np.arange(self.seen, self.seen + scores.shape[1]), scores.shape)
        self.seen += scores.shape[1]
        if self.scores.size or self.rows.size:
            scores = np.concatenate([self.scores, scores], axis=1)
            rows = np.concatenate([self.rows, rows], axis=1)
        if scores.shape[1] > 4 * self.k:
            # Only what reaches the k-th best score can stay; the sort below then is short.
            near = np.argpartition(-scores, self.k - 1, axis=1)[:, : self.k]
            limit = np.take_along_axis(scores, near, axis=1).min(axis=1)
            width = int((scores >= limit[:, None]).sum(axis=1).max())
            keep = np.argsort(scores < limit[:, None], axis=1, kind="stable")[:, :width]
            scores = np.take_along_axis(scores, keep, axis=1)
            rows = np.take_along_axis(rows, keep, axis=1)
        order = np.argsort(-scores, axis=1, kind="stable")[:, : self.k]
        self.scores = np.take_along_axis(scores, order, axis=1)
        self.rows = np.take_along_axis(rows, order, axis=1)
