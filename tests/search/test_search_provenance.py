"""``hits.how`` reports how a search was executed, in each of three modes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from search_help import WAYS, no_duplicates, same_answers

import qadapt as qa
from qadapt.engines.exact import exact_scores
from qadapt.errors import SpecError, UnsupportedError
from qadapt.model import Hits, Metric
from qadapt.stores.base import SearchRequest

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
def test_the_number_of_candidates_has_one_formula(
    open_way: Any, queries: np.ndarray, way: str
) -> None:
    how = open_way(way).search(queries, k=10, rescore=1.0000000001).how
    assert how.candidates == 11 == qa.Rescore(1.0000000001).count(10)


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
