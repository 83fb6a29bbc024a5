"""``QadaptVectorStore`` beyond LangChain's suite: filters, scores, rescoring, threads."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("langchain_core", reason="needs the environment of `make test-integrations`")

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.structured_query import (
    Comparator,
    Comparison,
    Operation,
    Operator,
    StructuredQuery,
)

import qadapt as qa
from qadapt.errors import InputError, SpecError, UnsupportedError
from qadapt.integrations.langchain import QadaptVectorStore
from qadapt.integrations.langchain_filters import QadaptTranslator

DIM = 64
METADATA: list[dict[str, Any]] = [
    {"topic": "art", "year": 1999, "tags": ["a", "b"]},
    {"topic": "music", "year": 2005, "tags": []},
    {"topic": "art", "year": None},
    {"topic": "law"},
    {"topic": None, "year": 2010.5, "tags": ["b"]},
]


class Numbers(Embeddings):
    """A random unit vector for each text, always the same."""

    def embed_query(self, text: str) -> list[float]:
        made = np.random.default_rng(list(text.encode())).normal(size=DIM)
        return (made / np.linalg.norm(made)).tolist()

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self.embed_query(text) for text in texts]


EMBED = Numbers()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[QadaptVectorStore]:
    with QadaptVectorStore.from_texts(
        [f"text {row}" for row in range(len(METADATA))],
        EMBED,
        METADATA,
        ids=[str(row) for row in range(len(METADATA))],
        address=f"edge:{tmp_path}#notes",
    ) as made:
        yield made


def compare(comparator: Comparator, attribute: str, value: Any) -> Comparison:
    return Comparison(comparator=comparator, attribute=attribute, value=value)


# Rows that match, found by reading METADATA.
FILTERS: list[tuple[Any, list[int]]] = [
    (None, [0, 1, 2, 3, 4]),
    ({}, [0, 1, 2, 3, 4]),
    ({"topic": "art"}, [0, 2]),
    ({"topic": {"$eq": "art"}}, [0, 2]),
    ({"topic": {"$ne": "art"}}, [1, 3, 4]),
    ({"topic": {"$in": ["art", "law"]}}, [0, 2, 3]),
    ({"topic": {"$in": ["law", None]}}, [3, 4]),
    ({"topic": {"$nin": ["art", "law"]}}, [1, 4]),
    ({"year": {"$gte": 1999, "$lt": 2010}}, [0, 1]),
    ({"year": {"$gt": 2005}}, [4]),
    ({"year": {"$between": [1999, 2005]}}, [0, 1]),
    ({"year": {"$exists": True}}, [0, 1, 4]),
    ({"year": {"$exists": False}}, [2, 3]),
    ({"year": {"$eq": None}}, [2]),
    ({"year": {"$not": {"$gte": 2000}}}, [0, 2, 3]),
    ({"$not": {"topic": "art"}}, [1, 3, 4]),
    ({"$or": [{"topic": "law"}, {"year": {"$lt": 2000}}]}, [0, 3]),
    ({"$and": [{"topic": "art"}, {"tags": "b"}]}, [0]),
    ({"topic": "art", "$or": [{"year": 1999}, {"year": 7}]}, [0]),
    ({"any": [{"topic": "law"}, {"year": None}]}, [2, 3]),
    ({"year": {"missing": True}}, [2, 3]),
    (compare(Comparator.GTE, "year", 2005), [1, 4]),
    (compare(Comparator.CONTAIN, "tags", "b"), [0, 4]),
    (compare(Comparator.NIN, "topic", ["art"]), [1, 3, 4]),
    (
        Operation(
            operator=Operator.OR,
            arguments=[
                compare(Comparator.EQ, "topic", "law"),
                Operation(
                    operator=Operator.AND,
                    arguments=[
                        compare(Comparator.EQ, "topic", "art"),
                        compare(Comparator.LT, "year", 2000),
                    ],
                ),
            ],
        ),
        [0, 3],
    ),
    (
        Operation(operator=Operator.NOT, arguments=[compare(Comparator.EQ, "topic", "art")]),
        [1, 3, 4],
    ),
]


@pytest.mark.parametrize(("filter", "expected"), FILTERS, ids=lambda value: str(value)[:60])
def test_filters(store: QadaptVectorStore, filter: Any, expected: list[int]) -> None:
    found = store.similarity_search("query", k=10, filter=filter)
    assert sorted(int(each.id or -1) for each in found) == expected


@pytest.mark.parametrize(
    "filter",
    [
        {"topic": {"$like": "a%"}},
        {"$where": "x"},
        {"topic": {"$near": 1}},
        {"$and": []},
        {"$or": {"topic": "art"}},
        {"year": {"$between": [1]}},
        {"year": {"$exists": 1}},
        {"year": {"$gte": None}},
        {"topic": {"$in": "art"}},
        {"$not": {}},
        {"topic": {"eq": "art", "$ne": "b", "lt": 1}},
        compare(Comparator.LIKE, "topic", "a%"),
    ],
    ids=str,
)
def test_filters_that_cannot_be_translated_are_refused(
    store: QadaptVectorStore, filter: Any
) -> None:
    with pytest.raises(SpecError) as caught:
        store.similarity_search("query", filter=filter)
    assert caught.value.hint


def test_a_structured_query_becomes_arguments_of_the_search(store: QadaptVectorStore) -> None:
    query = StructuredQuery(
        query="text 0",
        filter=compare(Comparator.GT, "year", 2000),
        limit=None,
    )
    text, arguments = QadaptTranslator().visit_structured_query(query)
    found = store.similarity_search(text, k=10, **arguments)
    assert sorted(each.id or "" for each in found) == ["1", "4"]
    dated = compare(Comparator.GT, "day", {"type": "date", "date": "2024-05-01"})
    assert QadaptTranslator().visit_comparison(dated).gt == "2024-05-01"


def test_a_document_is_what_was_added(store: QadaptVectorStore) -> None:
    (found,) = store.similarity_search("text 0", k=1)
    assert found == Document(id="0", page_content="text 0", metadata=METADATA[0])
    assert store.get_by_ids(["3", "0", "9"]) == [
        Document(id="3", page_content="text 3", metadata=METADATA[3]),
        found,
    ]


@pytest.mark.parametrize("metric", ["cosine", "dot", "euclidean"])
def test_scores_have_the_stated_meaning(tmp_path: Path, metric: str) -> None:
    texts = [f"text {row}" for row in range(6)]
    with QadaptVectorStore.from_texts(
        texts, EMBED, address=f"edge:{tmp_path}#notes", metric=metric
    ) as store:
        query = np.array(EMBED.embed_query("query"))
        rows = np.array(EMBED.embed_documents(texts))
        scores = -np.square(rows - query).sum(1) if metric == "euclidean" else rows @ query
        found = store.similarity_search_with_score("query", k=6)
        assert [each.page_content for each, _ in found] == [texts[i] for i in np.argsort(-scores)]
        np.testing.assert_allclose([s for _, s in found], np.sort(scores)[::-1], atol=1e-5)
        if metric == "dot":
            with pytest.raises(UnsupportedError, match="no range"):
                store.similarity_search_with_relevance_scores("query")
            return
        expected = (1 + scores) / 2 if metric == "cosine" else 1 / (1 + np.sqrt(-scores))
        relevance = store.similarity_search_with_relevance_scores("text 1", k=6)
        assert relevance[0][1] == pytest.approx(1, abs=1e-3)
        assert all(0 <= value <= 1 for _, value in relevance)
        limit = float(np.sort(expected)[-3])
        kept = store.as_retriever(
            search_type="similarity_score_threshold",
            search_kwargs={"k": 6, "score_threshold": limit - 1e-4},
        ).invoke("query")
        assert len(kept) == 3


def test_each_search_can_rescore_differently(tmp_path: Path) -> None:
    texts = [f"text {row}" for row in range(300)]
    with QadaptVectorStore.from_texts(
        texts, EMBED, address=f"edge:{tmp_path}#notes", quantization="binary:rescore=4"
    ) as store:
        store.collection.plan("binary:rescore=4").apply(yes=True)
        assert store.collection.info().vectors[""].status.state == "active"
        query = np.array(EMBED.embed_query("query"))
        exact = dict(zip(texts, np.array(EMBED.embed_documents(texts)) @ query, strict=True))

        def error(**options: Any) -> float:
            found = store.similarity_search_with_score("query", k=5, **options)
            return max(abs(exact[each.page_content] - score) for each, score in found)

        assert error() < 1e-4, "the default of the collection rescores"
        assert error(rescore=8) < 1e-4
        assert error(rescore="off") > 1e-3, "scores are those of the codes"
        best = sorted(texts, key=lambda text: -exact[text])[:5]
        found = store.similarity_search("query", k=5, exact=True)
        assert [each.page_content for each in found] == best
        retriever = store.as_retriever(search_kwargs={"k": 5, "rescore": 60})
        assert [each.page_content for each in retriever.invoke("query")] == best


def test_marginal_relevance_takes_filter_and_rescore(store: QadaptVectorStore) -> None:
    found = store.max_marginal_relevance_search(
        "text 0", k=2, fetch_k=5, filter={"topic": "art"}, rescore="off"
    )
    assert [each.id for each in found] == ["0", "2"]
    vector = EMBED.embed_query("text 3")
    relevant = store.max_marginal_relevance_search_by_vector(vector, k=5, lambda_mult=1.0)
    assert relevant == store.similarity_search_by_vector(vector, k=5)


def test_many_concurrent_calls(store: QadaptVectorStore) -> None:
    async def all_of_them() -> list[list[Document]]:
        added = store.aadd_texts(["more"], ids=["9"])
        searches = [store.asimilarity_search(f"text {row % 5}", k=1) for row in range(40)]
        _, *found = await asyncio.gather(added, *searches)
        return found

    found = asyncio.run(all_of_them())
    assert [each[0].id for each in found] == [str(row % 5) for row in range(40)]
    assert store.get_by_ids(["9"])[0].page_content == "more"


def test_arguments_without_effect_are_refused(store: QadaptVectorStore) -> None:
    with pytest.raises(SpecError, match="unknown option 'rescor'"):
        store.similarity_search("query", rescor=4)
    with pytest.raises(SpecError, match="unknown option"):
        store.add_texts(["x"], batch_size=3)
    with pytest.raises(InputError, match="needs ids") as caught:
        store.delete()
    assert "db.drop('notes')" in str(caught.value)
    for wrong in ({"ids": ["1", "2"]}, {"metadatas": []}):
        with pytest.raises(InputError, match="nothing was written"):
            store.add_texts(["x"], **wrong)  # type: ignore[arg-type]
    assert store.collection.count() == len(METADATA)
    assert store.add_texts([]) == []


def test_a_collection_of_the_caller_stays_open(tmp_path: Path) -> None:
    with qa.open(f"edge:{tmp_path}") as database:
        collection = database.create("notes", dim=DIM)
        with QadaptVectorStore(EMBED, collection) as store:
            (key,) = store.add_texts(["x"])
        assert collection.count() == 1
    with QadaptVectorStore(EMBED, f"edge:{tmp_path}#notes") as store:
        assert store.get_by_ids([key])[0].page_content == "x"
    with pytest.raises(qa.errors.NotFoundError):
        QadaptVectorStore(EMBED, f"edge:{tmp_path}#other")


def test_a_row_without_text_is_refused(tmp_path: Path) -> None:
    with qa.open(f"edge:{tmp_path}") as database:
        collection = database.create("notes", dim=DIM)
        rows = np.array([EMBED.embed_query("x")])
        collection.write(qa.Batch([1], {"": rows}, [{"body": "x"}]))
        with pytest.raises(InputError, match="has no text") as caught:
            QadaptVectorStore(EMBED, collection).similarity_search("x")
        assert "text_field=" in str(caught.value) and "body" in str(caught.value)
        store = QadaptVectorStore(EMBED, collection, text_field="body")
        assert store.similarity_search("x")[0].page_content == "x"
