"""Three modes with the same results: native rescoring, rescoring by qadapt, and client-side codes
with rescoring by qadapt.

On real embeddings. Comparisons:

- if all rows are candidates, all three must return the exact results: the same ids except for
rows whose exact scores differ by at most 1e-5, and the same scores to 1e-5;
- at x4, the engine's binary codes and client-side codes have the same bits, so both select the rows
  with the smallest Hamming distance; ties at the last distance are undefined. So each answer is
  compared with the exact best of those rows that must be among the candidates (nearer than the last
  distance) and of those that may be (as near as it).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from search_help import ALL, WAYS, distances, no_duplicates, same_answers

import qadapt as qa
from qadapt.engines.exact import exact_scores
from qadapt.errors import SpecError
from qadapt.model import Metric


@pytest.mark.parametrize("way", WAYS)
def test_with_all_rows_as_candidates_each_mode_is_exact(
    open_way: Any, queries: np.ndarray, exact: np.ndarray, way: str
) -> None:
    hits = open_way(way).search(queries[:25], k=10, rescore=ALL)
    same_answers(hits, exact[:25])
    no_duplicates(hits)
    assert hits.how.scores == "exact"


@pytest.mark.parametrize("way", WAYS)
def test_with_four_times_oversampling_each_mode_finds_the_best_candidates(
    open_way: Any, embeddings: Any, queries: np.ndarray, exact: np.ndarray, way: str
) -> None:
    hits = open_way(way).search(queries, k=10, rescore=4)
    no_duplicates(hits)
    far = distances(embeddings, queries)
    last = np.sort(far, axis=1)[:, 39:40]
    found = hits.ids.astype(int)
    np.testing.assert_allclose(
        hits.scores, np.take_along_axis(exact, found, axis=1), atol=1e-5, err_msg="common unit"
    )
    if way != "our codes":
        # The engine searches a graph, which may miss a candidate: as good as all of it, then.
        wide = open_way(way).search(queries, k=10, rescore=4, options={"hnsw_ef": 2000})
        found = wide.ids.astype(int)
    assert (np.take_along_axis(far, found, axis=1) <= last).all(), "no candidate came from beyond"
    must = -np.sort(-np.where(far < last, exact, -np.inf), axis=1)[:, :10]
    may = -np.sort(-np.where(far <= last, exact, -np.inf), axis=1)[:, :10]
    scores = np.take_along_axis(exact, found, axis=1)
    good = ((must - 1e-5 <= scores) & (scores <= may + 1e-5)).all(axis=1)
    assert good.mean() >= (1 if way == "our codes" else 0.95), np.flatnonzero(~good)


def test_with_four_times_oversampling_all_modes_have_similar_recall(
    open_way: Any, queries: np.ndarray, exact: np.ndarray
) -> None:
    truth = np.argsort(-exact, axis=1)[:, :10].tolist()
    recalls = {}
    for way in WAYS:
        hits = open_way(way).search(queries, k=10, rescore=4)
        found = zip(hits.ids.tolist(), truth, strict=True)
        recalls[way] = np.mean([len(set(row) & set(right)) / 10 for row, right in found])
    assert 0.75 < min(recalls.values()) <= max(recalls.values()) < 0.95, recalls
    assert max(recalls.values()) - min(recalls.values()) < 0.02, recalls


@pytest.mark.parametrize("way", WAYS)
def test_filters_apply_in_each_mode(
    open_way: Any, embeddings: Any, queries: np.ndarray, exact: np.ndarray, way: str
) -> None:
    groups = np.arange(len(embeddings.docs)) % 7
    collection = open_way(way)
    for filter, allowed in (
        ({"group": 3}, groups == 3),
        ({"group": {"gte": 2, "lt": 4}}, (groups == 2) | (groups == 3)),
        ({"not": {"any": [{"group": 0}, {"group": 6}]}}, (groups != 0) & (groups != 6)),
    ):
        hits = collection.search(queries[:10], k=10, rescore=ALL, filter=filter)
        same_answers(hits, exact[:10], np.broadcast_to(allowed, exact[:10].shape))
    one = {"doc": embeddings.doc_ids[17]}
    hits = collection.search(queries[:3], k=4, rescore=4, filter=one)
    assert hits.ids.tolist() == [[17, None, None, None]] * 3
    assert np.isnan(hits.scores[:, 1:]).all()
    np.testing.assert_allclose(hits.scores[:, 0], exact[:3, 17], atol=1e-5)
    hits = collection.search(queries[:3], k=4, rescore=4, filter={"doc": "none of it"})
    assert hits.ids.tolist() == [[None] * 4] * 3
    with pytest.raises(SpecError, match="gte"):
        collection.search(queries, filter={"group": {"gtee": 3}})


@pytest.mark.parametrize("way", WAYS)
def test_payloads_belong_to_their_rows(
    open_way: Any, embeddings: Any, queries: np.ndarray, way: str
) -> None:
    hits = open_way(way).search(
        queries[:5], k=3, rescore=4, with_payload=True, filter={"doc": embeddings.doc_ids[4:6]}
    )
    for ids, payloads in zip(hits.ids.tolist(), hits.payloads, strict=True):
        assert sorted(ids[:2]) == [4, 5]
        assert ids[2] is None
        expected = [{"group": key % 7, "doc": embeddings.doc_ids[key]} for key in ids[:2]]
        assert payloads == [*expected, None]
    assert open_way(way).search(queries[:1], k=3).payloads is None


@pytest.mark.parametrize("way", WAYS)
def test_k_above_the_number_of_rows(
    live: Callable[[str], str], way: str, embeddings: Any, tmp_path: Path
) -> None:
    """https://github.com/huggingface/sentence-transformers/pull/3887 gave the last document for
    padding, /pull/3956 the same document again and NaN among the hits."""
    disabled = {"rescored by us": ["native-rescore"], "our codes": ["native-quantization"]}
    with qa.open(live("edge"), disabled=disabled.get(way, [])) as database:
        collection = database.create("few", dim=embeddings.dim)
        collection.write(qa.Batch(range(7), {"": embeddings.docs[:7]}))
        plan = collection.plan("binary:rescore=4", accept="client")
        plan.apply(yes=True)
        hits = collection.search(embeddings.queries[:4], k=20)
        assert hits.ids.shape == hits.scores.shape == (4, 20)
        for row in hits.ids.tolist():
            assert sorted(row[:7]) == list(range(7))
            assert row[7:] == [None] * 13
        assert np.isnan(hits.scores[:, 7:]).all()
        assert not np.isnan(hits.scores[:, :7]).any()
        scores = exact_scores(embeddings.queries[:4], embeddings.docs[:7], Metric.COSINE)
        np.testing.assert_allclose(hits.scores[:, :7], -np.sort(-scores, axis=1), atol=1e-5)


@pytest.mark.parametrize("metric", ["dot", "euclidean"])
@pytest.mark.parametrize("way", WAYS)
def test_scores_have_the_unit_of_the_metric_in_each_mode(
    live: Callable[[str], str], way: str, metric: str, embeddings: Any
) -> None:
    rows = 3 * embeddings.docs[:500]
    disabled = {"rescored by us": ["native-rescore"], "our codes": ["native-quantization"]}
    with qa.open(live("edge"), disabled=disabled.get(way, [])) as database:
        collection = database.create("docs", dim=embeddings.dim, metric=metric)
        collection.write(qa.Batch(range(500), {"": rows}))
        collection.plan("binary", accept="client").apply(yes=True)
        asked = 2 * embeddings.queries[:10]
        hits = collection.search(asked, k=10, rescore=50)
        scores = exact_scores(asked, rows, Metric.of(metric))
        np.testing.assert_allclose(
            hits.scores, -np.sort(-scores, axis=1)[:, :10], rtol=1e-5, atol=1e-4
        )
        assert hits.how.scores == "exact"
