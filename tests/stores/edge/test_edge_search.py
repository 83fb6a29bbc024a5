"""Native searches: provenance and scores."""

from __future__ import annotations

import numpy as np
import pytest
from edge_helpers import OFF, Texts, carry_out, fill, plan

from qadapt.errors import DimensionError, NotFoundError, SpecError, UnsupportedError
from qadapt.model import Batch, Rescore, Vector
from qadapt.stores.base import SearchRequest
from qadapt.stores.qdrant.edge.store import EdgeStore
from qadapt.stores.qdrant.search import PER_SEGMENT, RAW_COUNTS, UNINDEXED


def test_search_without_codes_is_exact(store: EdgeStore, texts: Texts) -> None:
    fill(store, texts.batch)
    hits = store.search("c", texts.queries, SearchRequest(k=10, with_payload=True))
    assert hits.ids.shape == hits.scores.shape == (300, 10)
    np.testing.assert_array_equal(hits.ids.astype(int), texts.truth)
    exact = np.take_along_axis(texts.queries @ texts.docs.T, texts.truth, axis=1)
    np.testing.assert_allclose(hits.scores, exact, atol=1e-6)
    assert hits.payloads is not None
    assert hits.payloads[7][3] == {"at": texts.truth[7][3]}
    how = hits.how
    assert (how.searcher, how.rescorer, how.scores) == ("store", "none", "exact")
    assert how.candidates == 0
    # Without codes, rescoring changes nothing.
    again = store.search("c", texts.queries, SearchRequest(k=10, rescore=Rescore(4))).how
    assert (again.rescorer, again.rescore_from) == ("none", "call")


def test_default_rescoring_is_reported(store: EdgeStore, texts: Texts) -> None:
    fill(store, texts.batch)
    q = texts.queries[:3]
    carry_out(store, plan(store, "scalar"))
    how = store.search("c", q, SearchRequest(k=10)).how
    assert (how.rescorer, how.scores, how.rescore_from) == ("none", "approximate", "store default")
    carry_out(store, plan(store, "binary"))
    how = store.search("c", q, SearchRequest(k=10)).how
    assert (how.rescorer, how.scores, how.candidates) == ("store", "exact", 10)
    assert (how.rescored_on, how.oversampling) == ("originals", 1)
    how = store.search("c", q, SearchRequest(k=10, rescore=Rescore(2.55))).how
    assert (how.candidates, how.oversampling, how.rescore_from) == (26, 2.55, "call")
    for k, factor in ((10, 5.0), (20, 2.5), (100, 1.0)):
        how = store.search("c", q, SearchRequest(k=k, rescore=Rescore(candidates=50))).how
        assert (how.candidates, how.oversampling) == (max(50, k), factor)
    assert not how.notes
    raw = store.search("c", q, SearchRequest(k=10, rescore=OFF))
    assert (raw.how.rescorer, raw.how.scores) == ("none", "approximate")
    assert RAW_COUNTS in raw.how.notes
    assert (np.diff(raw.scores, axis=1) <= 0).all()
    exact = store.search("c", q, SearchRequest(k=10, exact=True)).how
    assert (exact.searcher, exact.scores) == ("store exact", "exact")
    ignore = store.search("c", q, SearchRequest(k=10, ignore_quantization=True)).how
    assert (ignore.searcher, ignore.rescorer, ignore.scores) == ("store", "none", "exact")


def test_oversampling_is_passed_on(store: EdgeStore, texts: Texts) -> None:
    """Each candidate more can only help; with all rows as candidates nothing is missed."""
    fill(store, texts.batch)
    carry_out(store, plan(store, "binary"))
    found = [texts.recall(store, rescore=Rescore(f)) for f in (1, 2, 4, 200)]
    assert found == sorted(found)
    assert found[0] < found[2] < found[3] == 1
    assert texts.recall(store, ignore_quantization=True) == 1


def test_additional_segment_is_reported(store: EdgeStore, texts: Texts) -> None:
    fill(store, texts.batch.rows(0, 1500))
    # Scalar codes make the engine index the rows, which it then keeps.
    carry_out(store, plan(store, "scalar"))
    carry_out(store, plan(store, "binary"))
    store.write("c", texts.batch.rows(1500, 1510))
    how = store.search("c", texts.queries[:1], SearchRequest(k=10)).how
    assert PER_SEGMENT.format(2) in how.notes
    only = store.search("c", texts.docs[1505], SearchRequest(k=1, options={"indexed_only": False}))
    assert only.ids.tolist() == [[1505]]
    skipped = store.search(
        "c", texts.queries[:1], SearchRequest(k=1, options={"indexed_only": True})
    ).how
    assert UNINDEXED in skipped.notes


@pytest.mark.parametrize("metric", ["cosine", "dot", "euclidean"])
def test_scores_are_in_the_common_unit(store: EdgeStore, metric: str) -> None:
    rng = np.random.default_rng(1)
    x = rng.standard_normal((400, 32)).astype(np.float32)
    q = rng.standard_normal((5, 32)).astype(np.float32)
    if metric == "euclidean":
        wanted = -((q[:, None, :] - x[None]) ** 2).sum(axis=2)
    else:
        wanted = q @ x.T
        if metric == "cosine":
            wanted /= np.linalg.norm(q, axis=1)[:, None] * np.linalg.norm(x, axis=1)
    fill(store, Batch(list(range(400)), {"": x}), {"": Vector(32, metric)})  # type: ignore[arg-type]
    order = np.argsort(-wanted, axis=1)[:, :7]
    best = np.take_along_axis(wanted, order, axis=1)

    def same(rescore: Rescore | None, tolerance: float) -> None:
        hits = store.search("c", q, SearchRequest(k=7, rescore=rescore))
        np.testing.assert_allclose(hits.scores, best, rtol=tolerance, atol=tolerance)
        assert (np.diff(hits.scores, axis=1) <= 0).all()

    same(None, 1e-5)
    carry_out(store, plan(store, "rotational:bits=8"))
    same(OFF, 0.05)
    same(Rescore(50), 1e-5)
    carry_out(store, plan(store, "scalar"))
    same(OFF, 0.1)
    same(Rescore(50), 1e-5)
    carry_out(store, plan(store, "binary"))
    raw = store.search("c", q, SearchRequest(k=7, rescore=OFF))
    assert RAW_COUNTS in raw.how.notes
    assert (np.diff(raw.scores, axis=1) <= 0).all()


def test_short_rows_are_padded(store: EdgeStore) -> None:
    x = np.eye(3, dtype=np.float32)
    fill(store, Batch([1, 2, 3], {"": x}, [{"a": 1}, {"a": 2}, {"a": 2}]))
    hits = store.search("c", x[:1], SearchRequest(k=5, filter={"a": 2}, with_payload=True))
    assert sorted(hits.ids[0][:2]) == [2, 3]
    assert hits.ids[0][2:].tolist() == [None] * 3
    assert np.isnan(hits.scores[0][2:]).all()
    assert hits.payloads == [[{"a": 2}, {"a": 2}, None, None, None]]
    assert store.search("c", np.zeros((0, 3)), SearchRequest(k=5)).ids.shape == (0, 5)


def test_invalid_searches_are_rejected(store: EdgeStore, texts: Texts) -> None:
    fill(store, texts.batch.rows(0, 10))
    q = texts.queries[:1]
    for error, search in (
        (UnsupportedError, SearchRequest(k=1, rescore=Rescore(4, "codes"))),
        (SpecError, SearchRequest(k=1, options={"ef": 1})),
        (SpecError, SearchRequest(k=1, options={"hnsw_ef": 0})),
        (SpecError, SearchRequest(k=1, options={"indexed_only": 1})),
        (NotFoundError, SearchRequest(k=1, vector="title")),
    ):
        with pytest.raises(error):
            store.search("c", q, search)
    with pytest.raises(DimensionError, match="3 dimensions, expected 256"):
        store.search("c", q[:, :3], SearchRequest(k=1))
    assert store.search("c", q, SearchRequest(k=10, options={"hnsw_ef": 64})).ids.shape == (1, 10)
