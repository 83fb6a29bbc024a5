"""The two stages of a search: find candidates by their codes, then score them again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from qadapt.codecs import bit_query, pack_bits, pad_words
from qadapt.codecs.bitquery import QueryBits
from qadapt.engines import Engine, score_topk
from qadapt.engines.base import Array, Mask, Rows
from qadapt.errors import InputError, NotFoundError
from qadapt.index.bit_blocks import BitBlocks
from qadapt.index.int8_rows import Int8Rows
from qadapt.index.rows import Id, shown
from qadapt.index.vector_blocks import (
    BLOCK_BYTES,
    Floats,
    as_matrix,
    block_rows,
    check,
    prepared_blocks,
)
from qadapt.model.metric import Metric

Fetch = Callable[[list[Id]], Any]
Scores = npt.NDArray[np.float32]


class PairScorer(Protocol):
    """Queries that can be scored against codes: what ``fold`` and ``bit_query`` return."""

    def score(self, codes: Array, /) -> Array:
        """float32 (nq, m) for codes (m, ...)."""
        ...

    def score_pairs(self, codes: Array, /) -> Array:
        """float32 (nq, c) for codes (nq, c, ...)."""
        ...


def by_hamming(
    queries: Floats, bits: BitBlocks, k: int, mask: Mask | None, engine: Engine
) -> tuple[Rows, Scores]:
    """Candidates by Hamming distance h; scores are 1 - 2 h / dim, from -1 to 1."""
    rows, distances = engine.hamming_topk(pad_words(pack_bits(queries)), bits.blocks(), k, mask)
    scores = (1 - distances * (2 / queries.shape[1])).astype(np.float32)
    scores[rows < 0] = np.nan
    return rows, scores


def by_query_bits(
    queries: Floats,
    bits: BitBlocks,
    k: int,
    mask: Mask | None,
    query_bits: QueryBits,
    metric: Metric,
) -> tuple[Rows, Scores]:
    """Candidates by a query of more than one bit per dimension against sign bits."""
    query = bit_query(queries, query_bits)
    blocks = bits.as_bytes(_scan_rows(queries))
    rows, scores = score_topk(query.score, blocks, len(queries), k, mask)
    return rows, scores * bit_scale(metric, queries.shape[1])


def by_int8(
    queries: Floats, query: PairScorer, codes: Int8Rows, k: int, mask: Mask | None
) -> tuple[Rows, Scores]:
    """Candidates by float query against int8 codes."""
    return score_topk(query.score, codes.blocks(_scan_rows(queries)), len(queries), k, mask)


def _scan_rows(queries: Floats) -> int:
    """Rows a block, so that neither codes as floats nor the scores grow past a block's bytes."""
    return min(block_rows(queries.shape[1]), block_rows(len(queries)))


def bit_scale(metric: Metric, dim: int) -> np.float32:
    """What turns query x sign bits into the cosine with the vector of signs (1 otherwise)."""
    return np.float32(dim**-0.5 if metric is Metric.COSINE else 1)


def rescore(
    rows: Rows,
    dim: int,
    k: int,
    make: Callable[[slice], PairScorer],
    take: Callable[[Rows], Array],
) -> tuple[Rows, Scores]:
    """Score candidates again and keep the best.

    Args:
        rows: int64 (nq, c) candidates, -1 for none.
        dim: dimensions; with it the size of the blocks worked on is set.
        k: how many to keep.
        make: the scorer for a slice of the queries.
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
    """Candidates of each query in row order, so that a stable sort breaks ties by it."""
    return np.sort(rows, axis=1)


def best_of(rows: Rows, scores: Scores, k: int) -> tuple[Rows, Scores]:
    """The best ``k`` of each query's candidates; rows must ascend, negative ones are none."""
    scores[rows < 0] = -np.inf
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    rows = np.take_along_axis(rows, order, axis=1)
    scores = np.take_along_axis(scores, order, axis=1)
    # a candidate may score -inf too, then padding must still come last
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
    """:func:`rescore` against original vectors, fetched once for all queries given."""
    rows = in_row_order(rows)
    unique, places = np.unique(rows, return_inverse=True)
    places = places.reshape(rows.shape)
    wanted = [one for one in id_at(unique) if one is not None]
    vectors = _fetched(fetch, wanted, queries.shape[1], metric)
    places = np.maximum(places - (len(unique) - len(wanted)), 0)  # -1 sorts first, if there
    scores = np.empty(rows.shape, dtype=np.float32)
    for i, query in enumerate(queries):
        some = vectors[places[i]]
        if metric is Metric.EUCLIDEAN:
            some = some - query
            scores[i] = -np.vecdot(some, some)
        else:
            # one dot product a row: equal vectors get equal scores wherever they stand
            scores[i] = np.vecdot(some, query)
    return best_of(rows, scores, k)


def _fetched(fetch: Fetch, ids: list[Id], dim: int, metric: Metric) -> Floats:
    """Original vectors of these ids, float32 (m, dim), normalised under cosine.

    Raises:
        NotFoundError: some are missing; names them.
        InputError: ``fetch`` returned another number of rows, or no numbers.
    """
    got = fetch(list(ids))
    if isinstance(got, Mapping):
        _all_there([one for one in ids if one not in got])
        got = [got[one] for one in ids]
    vectors = as_matrix(got, dim, what="fetched originals")
    if len(vectors) != len(ids):
        raise InputError(
            f"fetch was asked for {len(ids)} originals and returned {len(vectors)}",
            hint="return one row per id in the order asked (a row of NaN for a missing one), "
            "or a mapping from id to vector",
        )
    absent = np.isnan(vectors).all(axis=1)
    _all_there([ids[row] for row in np.flatnonzero(absent)])
    check(vectors, metric, what="fetched originals")
    return np.concatenate(list(prepared_blocks(vectors, metric)))


def _all_there(missing: list[Id]) -> None:
    if missing:
        raise NotFoundError(
            f"no original vectors for {len(missing)} ids found by their codes: {shown(missing)}",
            hint="the index holds ids that the store has lost: delete them from the index",
        )


def query_step(candidates: int, dim: int, *, originals: bool) -> int:
    """How many queries go together, so that candidates (and their vectors) stay small."""
    width = candidates * (4 * dim if originals else 24)
    return max(1, 2 * BLOCK_BYTES // max(1, width))
