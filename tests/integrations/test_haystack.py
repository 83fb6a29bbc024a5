"""``QadaptDocumentStore`` beyond Haystack's suite: retrieval, filters, policies, pipelines."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("haystack", reason="needs the environment of `make test-integrations`")

from haystack import Document, Pipeline
from haystack.dataclasses import ByteStream, SparseEmbedding
from haystack.document_stores.types import DuplicatePolicy
from haystack.utils.filters import document_matches_filter

from qadapt.errors import InputError
from qadapt.integrations.haystack import (
    DuplicateIdError,
    QadaptDocumentStore,
    QadaptEmbeddingRetriever,
)
from qadapt.integrations.haystack_filters import InvalidFilterError, translated

DIM = 16
VECTORS = np.random.default_rng(0).normal(size=(5, DIM)).astype(np.float32)
VECTORS /= np.linalg.norm(VECTORS, axis=1, keepdims=True)
METADATA: list[dict[str, Any]] = [
    {"topic": "art", "year": 1999},
    {"topic": "music", "year": 2005},
    {"topic": "art", "year": None},
    {"topic": "law"},
    {"topic": None, "year": 2010},
]


def documents() -> list[Document]:
    return [
        Document(id=f"d{row}", content=f"text {row}", meta=meta, embedding=VECTORS[row].tolist())
        for row, meta in enumerate(METADATA)
    ]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[QadaptDocumentStore]:
    made = QadaptDocumentStore.create(
        f"edge:{tmp_path}#notes", dim=DIM, quantization="binary:rescore=4"
    )
    assert made.write_documents(documents()) == 5
    made.collection.plan("binary:rescore=4").apply(yes=True)
    assert made.collection.info().vectors[""].status.state == "active"
    yield made
    made.close()


def where(field: str, operator: str, value: Any) -> dict[str, Any]:
    return {"field": field, "operator": operator, "value": value}


def test_filters_mean_what_haystack_means(store: QadaptDocumentStore) -> None:
    filters = [
        where("meta.topic", "==", None),
        where("meta.topic", "!=", None),
        where("meta.year", "in", [1999, None]),
        where("meta.year", "in", []),
        where("meta.year", "not in", []),
        where("meta.year", "not in", [1999, None]),
        where("year", ">=", 2005),
        where("meta.year", "<", None),
        where("id", "in", ["d1", "d3"]),
        where("content", "==", "text 2"),
        {"operator": "NOT", "conditions": [where("meta.year", ">", 2000)]},
        {
            "operator": "OR",
            "conditions": [
                where("meta.topic", "==", "law"),
                {"operator": "AND", "conditions": [where("meta.year", "==", 1999)]},
            ],
        },
    ]
    for filter in filters:
        expected = {each.id for each in documents() if document_matches_filter(filter, each)}
        found = store.embedding_retrieval(VECTORS[0].tolist(), filters=filter)
        assert {each.id for each in found} == expected, filter
        assert {each.id for each in store.filter_documents(filter)} == expected, filter


@pytest.mark.parametrize(
    "filter",
    [
        where("meta.topic", "like", "a"),
        where("meta.topic", "==", ["a"]),
        where("embedding", "==", 1),
        where("", "==", 1),
        {"operator": "XOR", "conditions": []},
        {"operator": "AND", "conditions": []},
        {"operator": "AND", "conditions": ["x"]},
    ],
    ids=str,
)
def test_filters_that_cannot_be_translated_are_refused(filter: dict[str, Any]) -> None:
    with pytest.raises(InvalidFilterError) as caught:
        translated(filter)
    assert caught.value.hint


def test_retrieval_has_exact_scores_and_rescores_per_call(store: QadaptDocumentStore) -> None:
    query = VECTORS[1].tolist()
    exact = np.sort(VECTORS @ VECTORS[1])[::-1]
    retriever = QadaptEmbeddingRetriever(store, top_k=3, rescore=8)
    found = retriever.run(query)["documents"]
    np.testing.assert_allclose([each.score for each in found], exact[:3], atol=1e-5)
    assert found[0].id == "d1" and found[0].meta == METADATA[1] and found[0].embedding is None
    codes = retriever.run(query, rescore="off", top_k=5)["documents"]
    assert np.abs(np.array([each.score for each in codes]) - exact).max() > 1e-3
    (first,) = store.embedding_retrieval(query, top_k=1, return_embedding=True, exact=True)
    np.testing.assert_allclose(first.embedding or [], VECTORS[1], atol=1e-6)
    only = QadaptEmbeddingRetriever(store, filters=where("meta.topic", "==", "art"))
    assert {each.id for each in only.run(query)["documents"]} == {"d0", "d2"}
    law = only.run(query, filters=where("meta.topic", "==", "law"))["documents"]
    assert [each.id for each in law] == ["d3"]
    with pytest.raises(InputError, match="must be a QadaptDocumentStore"):
        QadaptEmbeddingRetriever("edge:x")  # type: ignore[arg-type]


def test_policies_for_ids_in_one_call(store: QadaptDocumentStore) -> None:
    twice = [Document(id="x", content="first"), Document(id="x", content="second")]
    for given in (twice, [Document(id="new"), documents()[0]]):
        with pytest.raises(DuplicateIdError, match="nothing was written"):
            store.write_documents(given)
    assert store.count_documents() == 5
    assert store.write_documents(twice, DuplicatePolicy.SKIP) == 1
    assert store.filter_documents(where("id", "==", "x"))[0].content == "first"
    assert store.write_documents(twice, DuplicatePolicy.OVERWRITE) == 2
    assert store.filter_documents(where("id", "==", "x"))[0].content == "second"
    assert store.write_documents([]) == 0


def test_documents_without_text_or_with_a_blob(store: QadaptDocumentStore) -> None:
    blob = Document(id="b", blob=ByteStream(b"\x00\xff", {"a": 1}, "image/png"), meta={"x": [1]})
    store.write_documents([blob])
    assert store.filter_documents(where("id", "==", "b")) == [blob]
    sparse = Document(id="s", sparse_embedding=SparseEmbedding([1], [0.5]))
    with pytest.raises(InputError, match="sparse embedding"):
        store.write_documents([sparse])


def test_deletion(store: QadaptDocumentStore) -> None:
    assert store.delete_by_filter(where("meta.topic", "==", "art")) == 2
    store.delete_documents(["d1", "unknown"])
    assert sorted(each.id for each in store.filter_documents()) == ["d3", "d4"]
    with pytest.raises(InputError, match="needs filters"):
        store.delete_by_filter({})
    store.delete_all_documents()
    assert store.count_documents() == 0


def test_a_pipeline_is_saved_and_restored(store: QadaptDocumentStore) -> None:
    pipeline = Pipeline()
    pipeline.add_component("retriever", QadaptEmbeddingRetriever(store, top_k=2, rescore="off"))
    text = pipeline.dumps()
    assert "#notes" in text
    restored = Pipeline.loads(text, allowed_modules=["qadapt.integrations.haystack"])
    retriever = restored.get_component("retriever")
    assert (retriever.top_k, retriever.rescore) == (2, "off")
    found = restored.run({"retriever": {"query_embedding": VECTORS[4].tolist()}})
    assert found["retriever"]["documents"][0].id == "d4"
    retriever.document_store.close()


def test_asynchronous_methods(store: QadaptDocumentStore) -> None:
    async def run() -> list[str]:
        retriever = QadaptEmbeddingRetriever(store, top_k=1)
        calls = (retriever.run_async(VECTORS[row % 5].tolist()) for row in range(20))
        found = await asyncio.gather(*calls)
        assert await store.write_documents_async([Document(id="new")]) == 1
        assert await store.count_documents_async() == 6
        await store.delete_documents_async(["new"])
        assert len(await store.filter_documents_async()) == 5
        one = await store.embedding_retrieval_async(VECTORS[0].tolist(), top_k=1)
        assert one[0].id == "d0"
        return [each["documents"][0].id for each in found]

    assert asyncio.run(run()) == [f"d{row % 5}" for row in range(20)]
