"""The first dimensions of vectors of Matryoshka models.

Such models put most of the information into the first dimensions (Kusupati et al., Matryoshka
Representation Learning, 2022, https://arxiv.org/abs/2205.13147).
"""

from __future__ import annotations

import numpy as np

from qadapt.model.arrays import Floats, check_vectors
from qadapt.model.metric import Metric
from qadapt.model.query_checks import check_norms
from qadapt.model.vector import Vector

CUT_QUERIES = "queries of {:,} dimensions were searched by their first {:,}"


def leading(rows: Floats, dims: int, metric: Metric) -> Floats:
    """The first ``dims`` dimensions, scaled to length 1 under cosine.

    Args:
        rows: float32 ``(n, d)``.
        dims: at most ``d``; rows of that width are returned unchanged.

    Returns:
        float32 ``(n, dims)``. Rows without any value in these dimensions stay zero.
    """
    if rows.shape[1] <= dims:
        return rows
    found = np.ascontiguousarray(rows[:, :dims])
    if metric is not Metric.COSINE:
        return found
    lengths = np.sqrt(np.einsum("ij,ij->i", found, found, dtype=np.float64))
    scaled = found / np.where(lengths > 0, lengths, 1.0)[:, None]
    narrow: Floats = scaled.astype(np.float32)
    return narrow


def as_stored(queries: Floats, vector: Vector, full_dim: int | None) -> Floats:
    """Queries in the width of a vector.

    Args:
        queries: float32 ``(nq, d)``.
        vector: definition of the vector.
        full_dim: dimensions of the model if ``vector`` holds the first of them; None otherwise.

    Returns:
        ``queries``, or their first dimensions if they have ``full_dim``.

    Raises:
        NonFiniteError, ZeroVectorError, InputError: invalid queries of ``full_dim`` dimensions.
    """
    if full_dim is None or queries.shape[1] != full_dim:
        return queries
    whole = vector.replace(dim=full_dim)
    check_vectors(queries, whole, what="queries")
    check_norms(queries, vector.metric)
    return leading(queries, vector.dim, vector.metric)
