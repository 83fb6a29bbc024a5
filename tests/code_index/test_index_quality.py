"""Retrieval quality of a code index on real embeddings, against the same search in numpy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from embeddings import Embeddings
from reference import asymmetric, hamming, ndcg, rescored, top

from qadapt.code_index import CodeIndex

CANDIDATES = 100
Ranks = np.ndarray


@pytest.fixture(scope="module")
def exact(embeddings: Embeddings) -> np.ndarray:
    found: np.ndarray = embeddings.queries @ embeddings.docs.T
    return found


@pytest.fixture(scope="module")
def of_float(embeddings: Embeddings, exact: np.ndarray) -> Callable[[Ranks], float]:
    """nDCG@10 of ranked rows, as a share of that of exact float32 search."""
    labels = (embeddings.doc_ids, embeddings.query_ids, embeddings.qrels)
    best = ndcg(top(exact), *labels)
    return lambda rows: ndcg(rows, *labels) / best


@pytest.fixture(scope="module")
def search(
    embeddings: Embeddings, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Ranks]:
    """``search("int8", rescore=4)``: row numbers of the 100 best of each query."""
    indexes = {}
    for codes in ("binary", "int8"):
        folder = tmp_path_factory.mktemp("index") / codes
        with CodeIndex.create(folder, embeddings.dim, codes=codes) as index:  # type: ignore[arg-type]
            index.add(np.arange(len(embeddings.docs)), embeddings.docs)
        indexes[codes] = CodeIndex.open(folder, read_only=True)  # the search of a user

    def found(codes: str = "binary", **options: Any) -> Ranks:
        ids = indexes[codes].search(embeddings.queries, CANDIDATES, **options).ids
        return ids.astype(np.int64)

    return found


def test_int8_codes_rank_as_floats_do(
    search: Callable[..., Ranks], of_float: Callable[[Ranks], float]
) -> None:
    assert of_float(search("int8")) == pytest.approx(1, abs=0.005)


def test_bits_without_rescoring_rank_by_hamming_distance(
    search: Callable[..., Ranks], of_float: Callable[[Ranks], float], embeddings: Embeddings
) -> None:
    far = -hamming(embeddings.docs, embeddings.queries)
    found = search(source="off")
    # Which of the rows at one distance comes first is not defined; their distances are.
    np.testing.assert_array_equal(
        np.take_along_axis(far, found, axis=1), np.sort(far, axis=1)[:, :CANDIDATES]
    )
    expected = of_float(top(hamming(embeddings.docs, embeddings.queries)))
    assert of_float(found) == pytest.approx(expected, abs=0.02)
    assert expected < 0.98


@pytest.mark.parametrize("factor", [1, 4, 10])
def test_rescoring_by_bits_matches_float_queries(
    search: Callable[..., Ranks],
    of_float: Callable[[Ranks], float],
    embeddings: Embeddings,
    factor: int,
) -> None:
    codes = hamming(embeddings.docs, embeddings.queries)
    by_bits = asymmetric(embeddings.docs, embeddings.queries)
    expected = of_float(rescored(codes, by_bits, factor, CANDIDATES))
    assert of_float(search(rescore=factor, source="bits")) == pytest.approx(expected, abs=0.005)
    # More candidates do not lift it above a float query over the bits of all rows.
    assert expected == pytest.approx(of_float(top(by_bits)), abs=0.02)


def test_rescoring_by_int8_codes_matches_original_vectors(
    search: Callable[..., Ranks],
    of_float: Callable[[Ranks], float],
    embeddings: Embeddings,
    exact: np.ndarray,
) -> None:
    expected = of_float(
        rescored(hamming(embeddings.docs, embeddings.queries), exact, 4, CANDIDATES)
    )
    assert of_float(search(rescore=4, source="codes")) == pytest.approx(expected, abs=0.005)


def test_rescoring_by_originals_returns_the_best_candidates(
    search: Callable[..., Ranks], embeddings: Embeddings, exact: np.ndarray
) -> None:
    found = search(rescore=10, fetch=lambda ids: embeddings.docs[np.asarray(ids, dtype=np.int64)])
    codes = hamming(embeddings.docs, embeddings.queries)
    expected = rescored(codes, exact, 10, CANDIDATES)
    same = np.take_along_axis(exact, found, axis=1) - np.take_along_axis(exact, expected, axis=1)
    # At the 1,000th distance rows are a tie, so some of the last places differ.
    assert np.abs(same[:, :10]).max() < 1e-6
    assert (np.abs(same) < 1e-6).mean() > 0.99
