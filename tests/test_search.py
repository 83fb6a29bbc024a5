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

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qadapt as qa
from qadapt.api import Collection
from qadapt.engines.exact import exact_scores, unit
from qadapt.errors import SpecError, UnsupportedError
from qadapt.model import Hits, Metric
from qadapt.stores.base import SearchRequest

WAYS = ("engine", "rescored by us", "our codes")
QUERIES = 80
ALL = 600.0  # oversampling at which all 5,000 rows are candidates of 10 hits


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("search")


@pytest.fixture(scope="module")
def places(embeddings: Any, folder: Path) -> dict[str, str]:
    """Two folders with the same rows: one quantized by the engine, one without quantization for
    client-side codes."""
    pytest.importorskip("qdrant_edge")
    payloads = [
        {"group": row % 7, "doc": embeddings.doc_ids[row]} for row in range(len(embeddings.docs))
    ]
    batch = qa.Batch(range(len(embeddings.docs)), {"": embeddings.docs}, payloads)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QADAPT_STATE_DIR", str(folder / "state"))
        with qa.open(f"edge:{folder / 'native'}") as database:
            collection = database.create("docs", dim=embeddings.docs.shape[1])
            collection.write(batch)
            collection.plan("binary").apply(yes=True)
        with qa.open(f"edge:{folder / 'ours'}", disabled=["native-quantization"]) as database:
            collection = database.create("docs", dim=embeddings.docs.shape[1])
            collection.write(batch)
            collection.plan("binary", accept="client").apply(yes=True)
    return {"native": f"edge:{folder / 'native'}", "ours": f"edge:{folder / 'ours'}"}


@pytest.fixture
def open_way(
    live: Callable[[str], str],
    places: dict[str, str],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[[str], Collection]]:
    """The collection, opened so that searches use one of the three modes."""
    live("edge")
    monkeypatch.setenv("QADAPT_STATE_DIR", str(folder / "state"))
    opened: list[qa.Database] = []

    def collection(way: str) -> Collection:
        for database in opened:
            database.close()
        disabled = {"rescored by us": ["native-rescore"], "our codes": ["native-quantization"]}
        address = places["ours" if way == "our codes" else "native"]
        opened.append(qa.open(address, disabled=disabled.get(way, [])))
        return opened[-1]["docs"]

    yield collection
    for database in opened:
        database.close()


@pytest.fixture(scope="module")
def queries(embeddings: Any) -> np.ndarray:
    found: np.ndarray = embeddings.queries[:QUERIES]
    return found


@pytest.fixture(scope="module")
def exact(embeddings: Any, queries: np.ndarray) -> np.ndarray:
    """Exact scores of all rows, ``(nq, rows)``."""
    return exact_scores(queries, embeddings.docs, Metric.COSINE)


def distances(embeddings: Any, queries: np.ndarray) -> np.ndarray:
    """Hamming distances of sign bits, ``(nq, rows)``."""
    rows, asked = unit(embeddings.docs) > 0, unit(queries) > 0
    return np.stack([(rows != bits).sum(axis=1) for bits in asked])


def same_answers(hits: Hits, exact: np.ndarray, allowed: np.ndarray | None = None) -> None:
    """The exact best rows, in any order for near ties, and their exact scores."""
    scores = exact if allowed is None else np.where(allowed, exact, -np.inf)
    best = -np.sort(-scores, axis=1)[:, : hits.ids.shape[1]]
    found = np.take_along_axis(scores, hits.ids.astype(int), axis=1)
    np.testing.assert_allclose(hits.scores, found, atol=1e-5)
    np.testing.assert_allclose(found, best, atol=1e-5)
    assert (np.diff(hits.scores, axis=1) <= 1e-6).all()


def no_duplicates(hits: Hits) -> None:
    for row in hits.ids.tolist():
        there = [key for key in row if key is not None]
        assert len(set(there)) == len(there)
        assert row[: len(there)] == there, "padding stands behind the hits"


# -- agreement -----------------------------------------------------------------------------------


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


# -- hits.how ---------------------------------------------------------------------------

SAID: dict[str, tuple[str, str]] = {
    "engine": ("store", "store"),
    "rescored by us": ("store", "qadapt"),
    "our codes": ("qadapt", "qadapt"),
}


@pytest.mark.parametrize("way", WAYS)
def test_how_reports_searcher_candidates_and_rescorer(
    open_way: Any, queries: np.ndarray, way: str
) -> None:
    collection = open_way(way)
    how = collection.search(queries, k=10, rescore=3.25).how
    assert (how.searcher, how.rescorer) == SAID[way]
    assert (how.oversampling, how.candidates) == (3.25, 33)
    assert (how.rescored_on, how.scores, how.rescore_from) == ("originals", "exact", "call")


@pytest.mark.parametrize("way", WAYS)
def test_how_reports_no_rescoring(
    open_way: Any, queries: np.ndarray, exact: np.ndarray, way: str
) -> None:
    hits = open_way(way).search(queries, k=10, rescore="off")
    how = hits.how
    assert (how.searcher, how.rescorer) == (SAID[way][0], "none")
    assert (how.candidates, how.rescored_on) == (0, "none")
    assert (how.scores, how.rescore_from) == ("approximate", "call")
    found = np.take_along_axis(exact, hits.ids.astype(int), axis=1)
    assert np.abs(hits.scores - found).max() > 0.01, "called approximate, and they are"


@pytest.mark.parametrize("way", WAYS)
def test_how_reports_the_origin_of_the_setting(
    open_way: Any, queries: np.ndarray, way: str
) -> None:
    collection = open_way(way)
    how = collection.search(queries, k=10).how
    assert how.rescore_from == "store default"
    assert how.rescorer == SAID[way][1], "binary codes are rescored by default, everywhere"
    assert how.scores == "exact"
    default = collection.info().vectors[""].default_rescore
    assert how.candidates == default.count(10)
    change = collection.plan("binary:rescore=6", accept="client").apply(yes=True)
    try:
        how = collection.search(queries, k=10).how
        assert (how.rescore_from, how.oversampling, how.candidates) == ("collection", 6, 60)
        how = collection.search(queries, k=10, rescore=2).how
        assert (how.rescore_from, how.oversampling, how.candidates) == ("call", 2, 20)
    finally:
        change.undo()
    assert collection.search(queries, k=10).how.rescore_from == "store default"


@pytest.mark.parametrize("way", WAYS)
def test_the_exact_search_needs_no_codes(
    open_way: Any, queries: np.ndarray, exact: np.ndarray, way: str
) -> None:
    hits = open_way(way).search(queries, k=10, exact=True)
    same_answers(hits, exact)
    assert (hits.how.searcher, hits.how.rescorer) == ("store exact", "none")
    assert (hits.how.candidates, hits.how.scores) == (0, "exact")


def test_a_default_that_the_store_may_not_execute_is_executed_by_qadapt(
    open_way: Any, queries: np.ndarray
) -> None:
    """Without native rescoring, a search without options still applies the default of the store."""
    by_engine = open_way("engine").search(queries, k=10)
    by_us = open_way("rescored by us").search(queries, k=10)
    assert (by_engine.how.rescorer, by_us.how.rescorer) == ("store", "qadapt")
    assert by_us.how.candidates == by_engine.how.candidates
    np.testing.assert_allclose(by_us.scores, by_engine.scores, atol=0.05)
    same = [set(a) == set(b) for a, b in zip(by_us.ids, by_engine.ids, strict=True)]
    assert np.mean(same) > 0.8


def test_disabled_native_codes_are_not_used(
    places: dict[str, str], open_way: Any, queries: np.ndarray, exact: np.ndarray
) -> None:
    """``native-quantization`` disabled on a natively quantized collection: only original vectors
    are used."""
    open_way("our codes")  # closes the other one
    with qa.open(places["native"], disabled=["native-quantization"]) as database:
        hits = database["docs"].search(queries, k=10, rescore="off", options={"hnsw_ef": 2000})
        found = np.take_along_axis(exact, hits.ids.astype(int), axis=1)
        np.testing.assert_allclose(hits.scores, found, atol=1e-5)
        assert hits.how.scores == "exact"


def test_candidates_beyond_the_limit_of_the_store_are_noted(
    open_way: Any, queries: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection = open_way("rescored by us")
    profile = collection._store.profile
    fewer = replace(profile, traits=replace(profile.traits, max_k=50))
    monkeypatch.setattr(type(collection._store), "profile", fewer)
    hits = collection.search(queries[:5], k=20, rescore=10)
    assert hits.how.candidates == 50
    assert any("at most 50" in note and "200" in note for note in hits.how.notes)
    no_duplicates(hits)
    with pytest.raises(qa.errors.InputError, match="1 to 50"):
        collection.search(queries[:5], k=51)


def test_rescoring_by_finer_codes_is_executed_or_refused(
    open_way: Any, queries: np.ndarray, exact: np.ndarray
) -> None:
    for way in ("engine", "rescored by us"):
        with pytest.raises(UnsupportedError, match="codes"):
            open_way(way).search(queries, rescore=qa.Rescore(4, source="codes"))
    hits = open_way("our codes").search(queries, k=10, rescore=qa.Rescore(4, source="codes"))
    how = hits.how
    assert (how.rescorer, how.rescored_on, how.candidates) == ("qadapt", "codes", 40)
    assert how.scores == "approximate"
    found = np.take_along_axis(exact, hits.ids.astype(int), axis=1)
    assert 0 < np.abs(hits.scores - found).max() < 0.02


def test_client_side_int8_codes_report_how_they_were_used(
    live: Callable[[str], str], embeddings: Any
) -> None:
    with qa.open(live("edge"), disabled=["native-quantization"]) as database:
        collection = database.create("docs", dim=embeddings.dim)
        collection.write(qa.Batch(range(300), {"": embeddings.docs[:300]}))
        collection.plan("scalar", accept="client").apply()
        how = collection.search(embeddings.queries[:5], k=10, rescore=qa.Rescore(2, "codes")).how
        assert (how.searcher, how.rescorer, how.scores) == ("qadapt", "none", "approximate")
        assert (how.candidates, how.rescored_on) == (0, "none")
        how = collection.search(embeddings.queries[:5], k=10).how
        assert (how.rescorer, how.candidates, how.scores) == ("qadapt", 10, "exact")


def test_a_row_deleted_between_search_and_rescoring_is_reported(
    open_way: Any, queries: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection = open_way("rescored by us")
    store = collection._store
    whole = store.fetch
    before = collection.search(queries[:1], k=5, rescore=4).ids[0].tolist()
    lost = before[0]

    def without(name: str, ids: Any, **how: Any) -> qa.Batch:
        return whole(name, [key for key in ids if key != lost], **how)

    monkeypatch.setattr(store, "fetch", without)
    hits = collection.search(queries[:1], k=4, rescore=5)  # 20 candidates both times
    assert hits.ids[0].tolist() == before[1:]
    assert "1 candidates were deleted during the search and omitted" in hits.how.notes


def test_a_requested_rescore_without_codes_changes_nothing(
    live: Callable[[str], str], embeddings: Any
) -> None:
    for disabled in ([], ["native-rescore"], ["native-quantization"]):
        with qa.open(live("edge"), disabled=disabled) as database:
            if "docs" in database:
                database.drop("docs")
            collection = database.create("docs", dim=embeddings.dim)
            collection.write(qa.Batch(range(300), {"": embeddings.docs[:300]}))
            hits = collection.search(embeddings.queries[:5], k=10, rescore=4)
            scores = exact_scores(embeddings.queries[:5], embeddings.docs[:300], Metric.COSINE)
            same_answers(hits, scores)
            assert hits.how.scores == "exact"


def test_search_options_without_effect_are_reported(open_way: Any, queries: np.ndarray) -> None:
    """Native search options have no effect on client-side codes."""
    options = {"hnsw_ef": 64}
    how = open_way("our codes").search(queries[:2], k=3, options=options).how
    assert any("hnsw_ef" in note and "no effect" in note for note in how.notes)
    assert not any("hnsw_ef" in n for n in open_way("our codes").search(queries[:2]).how.notes)
    with pytest.raises(SpecError, match="hnsw_fe"):
        open_way("engine").search(queries[:2], options={"hnsw_fe": 64})


def test_a_search_reports_the_requested_rescoring(open_way: Any, queries: np.ndarray) -> None:
    """Extra candidates are requested without native rescoring."""
    collection = open_way("rescored by us")
    asked: list[SearchRequest] = []
    whole = collection._store.search

    def watch(name: str, array: Any, search: SearchRequest) -> Hits:
        asked.append(search)
        return whole(name, array, search)

    collection._store.search = watch
    collection.search(queries[:2], k=10, rescore=4, with_payload=True)
    (search,) = asked
    assert (search.k, search.with_payload) == (40, False)
    assert search.rescore == qa.Rescore(source="off")
