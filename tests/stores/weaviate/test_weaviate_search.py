"""Searches on a live Weaviate: refusals, provenance of scores, number of candidates."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from weaviate_helpers import fill, foreign, keys, normal, number, raw_write

from qadapt.errors import DimensionError, SpecError, StoreError, UnsupportedError
from qadapt.model import Batch, Metric, Quantization, Rescore, Vector
from qadapt.stores.base import SearchRequest
from qadapt.stores.weaviate import search
from qadapt.stores.weaviate.store import WeaviateStore
from qadapt.testing.data import clustered

OFF = Rescore(source="off")


def quantized(
    store: WeaviateStore, name: str, text: str, native: dict[str, Any] | None = None, n: int = 2000
) -> Any:
    """A collection that is quantized from creation, and its sample."""
    sample = clustered(n, 96)
    wanted = Quantization.parse(text).replace(native=native or {})
    store.create(name, {"": Vector(96, Metric.COSINE)}, {"": wanted})
    store.write(name, Batch(keys(n), {"": sample.rows}))
    return sample


def recall(hits: Any, sample: Any) -> float:
    found = [
        {number(key) for key in row if key is not None} & set(right)
        for row, right in zip(hits.ids.tolist(), sample.truth.tolist(), strict=True)
    ]
    return float(np.mean([len(each) for each in found])) / 10


@pytest.mark.parametrize("text", ["none", "rotational:bits=8", "rotational:bits=1", "binary"])
def test_a_query_of_wrong_dimensions_is_refused(store: WeaviateStore, name: str, text: str) -> None:
    """With RQ, and BQ of the same code size, the server returns nothing and no error."""
    quantized(store, name, text, n=300)
    with pytest.raises(DimensionError, match="80 dimensions, expected 96"):
        store.search(name, normal(2, 80), SearchRequest(k=3))
    with pytest.raises(DimensionError):
        store.search(name, normal(2, 80), SearchRequest(k=3, exact=True))


def test_the_servers_response_to_a_query_of_wrong_dimensions(
    store: WeaviateStore, name: str
) -> None:
    quantized(store, name, "rotational:bits=8", n=300)
    layout = store._layout(name)
    field = layout.field("")
    query = normal(1, 80)[0]
    request = search._request(*(store.connection, layout, "", field, query, 3, None), profile=False)
    answer = store.connection.ask("Search", request, doing="search")
    assert len(answer.results) == 0, "it says so itself now"


def test_a_stored_nan_is_an_error_of_the_search(store: WeaviateStore, name: str) -> None:
    """Another client may have stored it; its distance is NaN and ranks first."""
    rows = normal(50)
    rows[7, 0] = np.nan
    foreign(store, name)
    raw_write(store, name, rows)
    with pytest.raises(StoreError, match=keys(1, 7)[0]) as caught:
        store.search(name, normal(5, seed=1), SearchRequest(k=50))
    assert "NaN" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("text", "native", "candidates"),
    [
        ("binary", {}, 500),  # all of ef, which is 8 * 100, at most 500
        ("rotational:bits=8", {"rq": {"rescoreLimit": 20}}, 500),  # 100 lifts the cap
        ("rotational:bits=8", {"rq": {"rescoreLimit": 200}}, 200),
        ("rotational:bits=8", {"vectorIndexType": "flat", "rq": {"rescoreLimit": 30}}, 100),
    ],
    ids=str,
)
def test_oversampling_uses_the_limit(
    store: WeaviateStore, name: str, text: str, native: dict[str, Any], candidates: int
) -> None:
    sample = quantized(store, name, text, native)
    hits = store.search(name, sample.queries, SearchRequest(k=10, rescore=Rescore(10)))
    assert (hits.how.searcher, hits.how.rescorer, hits.how.scores) == ("store", "store", "exact")
    assert hits.how.candidates == candidates
    assert hits.how.oversampling == 10
    assert recall(hits, sample) > 0.94
    found = sample.rows[[[number(key) for key in row] for row in hits.ids.tolist()]]
    exact = np.einsum("qkd,qd->qk", found, sample.queries)
    np.testing.assert_allclose(hits.scores, exact, atol=1e-5)


def test_a_higher_limit_rescores_more_candidates(store: WeaviateStore, name: str) -> None:
    """RQ of 1 bit with rescoreLimit 10: 10 of 10 are rescored, but of 100 all."""
    sample = quantized(store, name, "rotational:bits=1", {"rq": {"rescoreLimit": 10}})
    plain = store.search(name, sample.queries, SearchRequest(k=10))
    assert plain.how.candidates == 10
    lifted = store.search(name, sample.queries, SearchRequest(k=10, rescore=Rescore(2)))
    assert lifted.how.candidates >= 20
    assert recall(lifted, sample) > recall(plain, sample) + 0.05


def test_rescoring_that_cannot_be_disabled_is_reported(store: WeaviateStore, name: str) -> None:
    sample = quantized(store, name, "binary")
    hits = store.search(name, sample.queries, SearchRequest(k=10, rescore=OFF))
    assert (hits.how.rescorer, hits.how.scores) == ("store", "exact")
    assert search.ALWAYS in hits.how.notes


def test_codes_that_are_configured_but_not_in_use_are_reported(
    store: WeaviateStore, name: str
) -> None:
    """SQ set at creation never starts automatically, which the search profile shows."""
    sample = quantized(store, name, "scalar:per=collection")
    hits = store.search(name, sample.queries, SearchRequest(k=10))
    assert (hits.how.rescorer, hits.how.scores) == ("none", "exact")
    assert search.NOT_IN_USE in hits.how.notes


def test_hfresh_returns_at_most_its_limit(store: WeaviateStore, name: str) -> None:
    native = {"vectorIndexType": "hfresh", "rq": {"rescoreLimit": 50}}
    sample = quantized(store, name, "rotational:bits=1", native)
    hits = store.search(name, sample.queries, SearchRequest(k=10, rescore=Rescore(8)))
    assert "at most 50" in " ".join(hits.how.notes)
    assert hits.how.candidates == 50
    assert not (hits.ids[:, :10] == None).any()  # noqa: E711
    with pytest.raises(UnsupportedError, match="at most rescoreLimit results: 50"):
        store.search(name, sample.queries, SearchRequest(k=51))


def test_an_hfresh_search_that_would_fail_is_refused(store: WeaviateStore, name: str) -> None:
    """The server accepts rescoreLimit 0, and then each search fails."""
    config = {"distance": "cosine", "rq": {"enabled": True, "bits": 1, "rescoreLimit": 0}}
    foreign(store, name, vectorIndexType="hfresh", vectorIndexConfig=config)
    store.write(name, Batch(keys(300), {"": clustered(300, 96).rows}))
    with pytest.raises(UnsupportedError, match="rescoreLimit 0"):
        store.search(name, normal(1, 96), SearchRequest(k=5))
    field = store._layout(name).field("")
    target = (store.connection, store._layout(name), "", field)
    with pytest.raises(StoreError, match="panic"):
        search.NativeSearch(*target, SearchRequest(k=5), None)(normal(1, 96))


def test_exact_searches_read_all_rows(store: WeaviateStore, name: str) -> None:
    sample = quantized(store, name, "rotational:bits=1", {"rq": {"rescoreLimit": 0}})
    hits = store.search(name, sample.queries, SearchRequest(k=10, exact=True))
    assert recall(hits, sample) == 1
    assert hits.how.searcher == "qadapt"
    assert search.ALL_READ in hits.how.notes


def test_named_vectors_with_different_codes(store: WeaviateStore, name: str) -> None:
    sample = clustered(1500, 96)
    vectors = {"a": Vector(96, Metric.COSINE), "b": Vector(8, Metric.EUCLIDEAN)}
    store.create(name, vectors, {"a": Quantization.parse("binary")})
    small = normal(1500, 8)
    store.write(name, Batch(keys(1500), {"a": sample.rows, "b": small}))
    hits = store.search(name, sample.queries, SearchRequest(k=10, vector="a"))
    assert hits.how.rescorer == "store"
    near = store.search(name, small[:20], SearchRequest(k=1, vector="b"))
    assert near.how.rescorer == "none"
    assert [number(row[0]) for row in near.ids] == list(range(20))
    np.testing.assert_allclose(near.scores[:, 0], 0, atol=1e-5)


def test_unknown_options_and_sources_are_refused(store: WeaviateStore, name: str) -> None:
    fill(store, name, normal(3))
    with pytest.raises(SpecError, match="ef"):
        store.search(name, normal(1), SearchRequest(k=1, options={"ef": 10}))
    with pytest.raises(UnsupportedError, match="no finer codes"):
        store.search(name, normal(1), SearchRequest(k=1, rescore=Rescore(2, "codes")))


def test_candidates_are_limited_by_the_server(store: WeaviateStore, name: str) -> None:
    sample = quantized(store, name, "binary")
    hits = store.search(name, sample.queries[:2], SearchRequest(k=200, rescore=Rescore(100)))
    assert "at most 10,000" in " ".join(hits.how.notes)
    assert not (hits.ids == None).any()  # noqa: E711


def test_payloads_are_part_of_the_search_response(
    store: WeaviateStore, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    original = type(store.connection).ask

    def ask(self: Any, method: str, request: Any, **more: Any) -> Any:
        asked.append(request)
        return original(self, method, request, **more)

    sample = clustered(40, 96)
    payloads = [{"group": at % 7, "note": None, "tags": ["a", 1]} for at in range(40)]
    store.create(name, {"": Vector(96, Metric.COSINE)}, {"": Quantization.parse("rotational")})
    store.write(name, Batch(keys(40), {"": sample.rows}, payloads))
    search = SearchRequest(k=3, with_payload=True)
    store.search(name, sample.queries[:1], search)  # reads the schema
    monkeypatch.setattr(type(store.connection), "ask", ask)
    hits = store.search(name, sample.queries[:1], search)
    assert len(asked) == 1
    assert hits.payloads == [[payloads[number(key)] for key in hits.ids[0].tolist()]]
    prepared = store.prepare_search(name, search)
    assert prepared is not None
    for _ in range(2):
        again = prepared(sample.queries[:1])
        assert again is not None
        assert again.how == hits.how
        assert again.payloads == hits.payloads
    profiled = [each.metadata.query_profile for each in asked]
    assert profiled[0], "the first search verifies whether candidates are rescored"
    store.forget(name)
    assert prepared(sample.queries[:1]) is None
