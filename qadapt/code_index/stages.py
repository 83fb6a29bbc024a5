"""Stages of a search: scanning codes for candidates, and rescoring."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from qadapt.code_index.bit_blocks import BitBlocks
from qadapt.code_index.int8_rows import Int8Rows
from qadapt.code_index.rows import Id, shown
from qadapt.code_index.vector_blocks import BLOCK_BYTES, block_rows, check
from qadapt.codecs import bit_query
from qadapt.codecs.bitquery import plane_query
from qadapt.codecs.bits import query_words
from qadapt.codecs.estimates import EstimateQuery
from qadapt.engines import Engine, PlaneEngine, score_topk
from qadapt.engines.base import PADDING_ROW, Array, Mask, Rows
from qadapt.engines.exact import best_candidates
from qadapt.errors import InputError, NotFoundError
from qadapt.model.arrays import Floats, as_matrix
from qadapt.model.metric import Metric

Fetch = Callable[[list[Id]], Any]
Scores = npt.NDArray[np.float32]


class PairScorer(Protocol):
    """Queries that are prepared for scoring codes, as returned by ``fold`` and ``bit_query``."""

    def score(self, codes: Array, /) -> Array:
        """Scores float32 (nq, m) of codes (m, ...)."""
        ...

    def score_pairs(self, codes: Array, /) -> Array:
        """Scores float32 (nq, c) of codes (nq, c, ...)."""
        ...


def by_hamming(
    queries: Floats, bits: BitBlocks, k: int, mask: Mask | None, engine: Engine
) -> tuple[Rows, Scores]:
    """Scan by Hamming distance h; scores are 1 - 2 h / dim, from -1 to 1."""
    rows, distances = engine.hamming_topk(query_words(queries), bits.blocks(), k, mask)
    scores = (1 - distances * (2 / queries.shape[1])).astype(np.float32)
    scores[rows < 0] = np.nan
    return rows, scores


def by_query_bits(
    queries: Floats,
    bits: BitBlocks,
    k: int,
    mask: Mask | None,
    query_bits: Literal[4, 8],
    metric: Metric,
    engine: PlaneEngine,
) -> tuple[Rows, Scores]:
    """Scan sign bits with queries of 4 or 8 bits per dimension, as bit planes."""
    query = plane_query(queries, query_bits)
    rows, products = engine.plane_topk(query, bits.blocks(), k, mask)
    scores = query.scores(products) * bit_scale(metric, queries.shape[1])
    scores[rows < 0] = np.nan
    return rows, scores


def by_float_bits(
    queries: Floats, bits: BitBlocks, k: int, mask: Mask | None, metric: Metric
) -> tuple[Rows, Scores]:
    """Scan sign bits with float32 queries."""
    blocks = bits.as_bytes(_scan_rows(queries))
    rows, scores = score_topk(bit_query(queries, 32).score, blocks, len(queries), k, mask)
    return rows, scores * bit_scale(metric, queries.shape[1])


def by_int8(
    queries: Floats, query: PairScorer, codes: Int8Rows, k: int, mask: Mask | None
) -> tuple[Rows, Scores]:
    """Scan int8 codes with float32 queries."""
    return score_topk(query.score, codes.blocks(_scan_rows(queries)), len(queries), k, mask)


def by_estimate(
    query: EstimateQuery, codes: BitBlocks, k: int, mask: Mask | None
) -> tuple[Rows, Scores]:
    """Scan rotational or scalar codes with queries of 4 or 8 bits per dimension."""
    blocks = codes.as_bytes(_scan_rows(query.floats))
    return score_topk(query.score, blocks, len(query), k, mask)


def _scan_rows(queries: Floats) -> int:
    """Rows per block, so that neither float32 codes nor scores exceed the size of a block."""
    return min(block_rows(queries.shape[1]), block_rows(len(queries)))


def bit_scale(metric: Metric, dim: int) -> np.float32:
    """Factor that converts query-bit products to cosines; 1 for other metrics."""
    return np.float32(dim**-0.5 if metric is Metric.COSINE else 1)


def rescore(
    rows: Rows,
    dim: int,
    k: int,
    make: Callable[[slice], PairScorer],
    take: Callable[[Rows], Array],
) -> tuple[Rows, Scores]:
    """Rescore candidates and return the best.

    Args:
        rows: int64 (nq, c) candidates, -1 for none.
        dim: dimensions, which determine the block size.
        k: number of results.
        make: creates the scorer of a slice of the queries.
        take: codes (\\*shape, ...) of rows of any shape.

    Returns:
        rows: (nq, min(k, c)), best first, equal scores in row order, -1 for none.
        scores: the same shape, NaN for none.
    """
    rows = in_row_order(rows)
    scores = np.empty(rows.shape, dtype=np.float32)
    width = min(rows.shape[1], block_rows(dim))
    step = max(1, block_rows(dim) // width)
    for start in range(0, len(rows), step):
        some = slice(start, start + step)
        query = make(some)
        for left in range(0, rows.shape[1], width):
            part = (some, slice(left, left + width))
            scores[part] = query.score_pairs(take(np.maximum(rows[part], 0)))
    return best_of(rows, scores, k)


def in_row_order(rows: Rows) -> Rows:
    """Sort candidates by row number, so that a stable sort breaks ties by row."""
    return np.sort(rows, axis=1)


def best_of(rows: Rows, scores: Scores, k: int) -> tuple[Rows, Scores]:
    """Best ``k`` candidates of each query; rows must ascend, negative rows are padding."""
    if len(rows) and rows[:, 0].min() >= 0:  # no padding
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        line = np.arange(len(rows))[:, None]
        return rows[line, order], scores[line, order]
    scores[rows < 0] = -np.inf
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    rows = np.take_along_axis(rows, order, axis=1)
    scores = np.take_along_axis(scores, order, axis=1)
    # a candidate may score -inf, and padding must still be last
    late = np.argsort(rows < 0, axis=1, kind="stable")
    rows = np.take_along_axis(rows, late, axis=1)
    scores = np.take_along_axis(scores, late, axis=1)
    scores[rows < 0] = np.nan
    return rows, scores


def rescore_originals(
    queries: Floats,
    rows: Rows,
    k: int,
    metric: Metric,
    id_at: Callable[[Rows], Sequence[Id | None]],
    fetch: Fetch,
) -> tuple[Rows, Scores]:
    """:func:`rescore` with original vectors, which are fetched once for all queries."""
    rows = in_row_order(rows)
    unique, places = np.unique(rows, return_inverse=True)
    places = places.reshape(rows.shape)
    wanted = [one for one in id_at(unique) if one is not None]
    vectors = _fetched(fetch, wanted, queries.shape[1], metric)
    places = np.maximum(places - (len(unique) - len(wanted)), -1)  # -1, if present, is first
    best, scores = best_candidates(queries, vectors, places, k, metric)
    rows = np.take_along_axis(rows, np.maximum(best, 0), axis=1)
    rows[best < 0] = PADDING_ROW
    return rows, scores


def _fetched(fetch: Fetch, ids: list[Id], dim: int, metric: Metric) -> Floats:
    """Fetch the original vectors of ids, float32 (m, dim).

    Raises:
        NotFoundError: some are missing.
        InputError: ``fetch`` returned the wrong number of rows, or not numbers.
    """
    got = fetch(list(ids))
    if isinstance(got, Mapping):
        _all_there([one for one in ids if one not in got])
        got = [got[one] for one in ids]
    vectors = as_matrix(got, what="fetched vectors", dim=dim)
    if len(vectors) != len(ids):
        raise InputError(
            f"fetch returned {len(vectors)} vectors for {len(ids)} ids",
            hint="return one row per id in the order of the request (NaN for a missing id), "
            "or a mapping from id to vector",
        )
    absent = np.isnan(vectors).all(axis=1)
    _all_there([ids[row] for row in np.flatnonzero(absent)])
    check(vectors, metric, what="fetched vectors")
    return np.ascontiguousarray(vectors, dtype=np.float32)


def _all_there(missing: list[Id]) -> None:
    if missing:
        raise NotFoundError(
            f"no original vectors for {len(missing)} candidates: {shown(missing)}",
            hint="delete these ids from the index, because they do not exist in the database",
        )


def query_step(candidates: int, dim: int, *, originals: bool) -> int:
    """Number of queries per batch, which limits the memory of candidates and their vectors."""
    width = candidates * (4 * dim if originals else 24)
    return max(1, 2 * BLOCK_BYTES // max(1, width))
