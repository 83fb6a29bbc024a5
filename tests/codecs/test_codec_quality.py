"""Ranking quality of the codecs on real embeddings, against numpy's own arithmetic."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from embeddings import Embeddings
from reference import K, asymmetric, hamming, ndcg, recall, top

from qadapt.codecs import Calibration, bit_query, fold, pack_bits, quantize

Share = Callable[[np.ndarray], float]


@pytest.fixture(scope="module")
def exact(embeddings: Embeddings) -> np.ndarray:
    found: np.ndarray = embeddings.queries @ embeddings.docs.T
    return found


@pytest.fixture(scope="module")
def of_float(embeddings: Embeddings, exact: np.ndarray) -> Share:
    """nDCG@10 of scores, as a share of that of exact float32 search."""

    def measured(scores: np.ndarray) -> float:
        labels = (embeddings.doc_ids, embeddings.query_ids, embeddings.qrels)
        return ndcg(top(scores), *labels)

    best = measured(exact)
    assert best > 0.5, "the labels match the vectors"
    return lambda scores: measured(scores) / best


@pytest.mark.parametrize("metric", ["dot", "cosine", "euclidean"])
def test_int8_with_a_folded_query_ranks_as_float_does(
    embeddings: Embeddings, exact: np.ndarray, of_float: Share, metric: str
) -> None:
    """A score is off by at most half a step of each dimension, weighted by the query."""
    calibration = Calibration.fit(embeddings.docs)
    codes = quantize(embeddings.docs, "int8", calibration=calibration)
    scores = fold(embeddings.queries, calibration, metric=metric).score(codes)
    steps = np.ptp(embeddings.docs, axis=0) / 255
    bound = np.abs(embeddings.queries) @ steps / 2
    found = top(scores)
    kept = np.take_along_axis(exact, found, axis=1).min(axis=1)
    worst = -np.sort(-exact, axis=1)[:, K - 1]
    if metric != "euclidean":  # whose scores also have the decoded rows' own lengths
        assert (worst - kept <= 2 * bound + 1e-5).all()
    assert of_float(scores) >= 0.998


def test_a_one_bit_query_ranks_by_hamming_distance(embeddings: Embeddings) -> None:
    scores = bit_query(embeddings.queries, 1).score(pack_bits(embeddings.docs))
    expected = hamming(embeddings.docs, embeddings.queries)
    rank = np.argsort(np.argsort(-scores, axis=1, kind="stable"), axis=1)
    assert (rank == np.argsort(np.argsort(-expected, axis=1, kind="stable"), axis=1)).all()


def test_finer_queries_rank_bits_as_a_float_query_does(embeddings: Embeddings) -> None:
    codes = pack_bits(embeddings.docs)
    expected = top(asymmetric(embeddings.docs, embeddings.queries))
    agreed = {
        bits: recall(top(bit_query(embeddings.queries, bits).score(codes)), expected)
        for bits in (1, 4, 8, 32)
    }
    assert agreed[32] == 1.0
    assert agreed[1] < agreed[4] < agreed[8] < 1.0
    assert agreed[8] > 0.95


def test_bits_lose_a_few_percent_and_a_float_query_regains_some(
    embeddings: Embeddings, of_float: Share
) -> None:
    codes = pack_bits(embeddings.docs)
    kept = {bits: of_float(bit_query(embeddings.queries, bits).score(codes)) for bits in (1, 32)}
    assert kept[1] == of_float(hamming(embeddings.docs, embeddings.queries))
    assert kept[32] == of_float(asymmetric(embeddings.docs, embeddings.queries))
    assert 0.8 < kept[1] < kept[32] < 1


def test_reported_int8_scores_are_unbiased(embeddings: Embeddings, exact: np.ndarray) -> None:
    calibration = Calibration.fit(embeddings.docs)
    codes = quantize(embeddings.docs, "int8", calibration=calibration)
    errors = fold(embeddings.queries, calibration).score(codes) - exact
    steps = np.ptp(embeddings.docs, axis=0) / 255
    # Errors of a dimension spread evenly over one step: no mean, and half a step at most.
    assert abs(errors.mean()) < 1e-4
    bound = np.abs(embeddings.queries) @ steps / 2
    assert (np.abs(errors).max(axis=1) <= bound + 1e-5).all()
