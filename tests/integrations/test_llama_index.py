"""``QadaptVectorStore`` of LlamaIndex on edge: nodes, filters, modes, threads."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("llama_index.core", reason="needs the environment of `make test-integrations`")

from llama_index.core import VectorStoreIndex
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.core.vector_stores.types import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
)
from llama_index.core.vector_stores.utils import build_metadata_filter_fn

import qadapt as qa
from qadapt.errors import InputError, SpecError, UnsupportedError
from qadapt.integrations.llama_index import QadaptVectorStore
from qadapt.integrations.llama_index_filters import translated

# LlamaIndex itself uses deprecated functions.
pytestmark = pytest.mark.filterwarnings("default::DeprecationWarning")

DIM = 16
CODES = "binary:rescore=4"
METADATA: list[dict[str, Any]] = [
    {"topic": "art", "year": 1999, "tags": ["a", "b"]},
    {"topic": "music", "year": 2005, "tags": []},
    {"topic": "art", "year": None},
    {"topic": "law"},
    {"topic": "maths", "year": 2010, "tags": ["b"]},
]
VECTORS = np.random.default_rng(0).normal(size=(len(METADATA), DIM)).astype(np.float32)
VECTORS /= np.linalg.norm(VECTORS, axis=1, keepdims=True)


def nodes() -> list[TextNode]:
    return [
        TextNode(
            id_=f"node-{row}",
            text=f"text {row}",
            metadata=metadata,
            embedding=VECTORS[row].tolist(),
            relationships={NodeRelationship.SOURCE: RelatedNodeInfo(node_id=f"doc-{row % 2}")},
        )
        for row, metadata in enumerate(METADATA)
    ]


@pytest.fixture(params=[None, CODES], ids=["plain", "quantized"])
def store(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[QadaptVectorStore]:
    made = QadaptVectorStore.create(f"edge:{tmp_path}#notes", dim=DIM, quantization=request.param)
    assert made.add(nodes()) == [f"node-{row}" for row in range(len(METADATA))]
    if request.param:
        made.client.plan(CODES).apply(yes=True)
        assert made.client.info().vectors[""].status.state == "active"
    yield made
    made.close()


def ask(row: int = 0, k: int = 10, **query: Any) -> VectorStoreQuery:
    return VectorStoreQuery(query_embedding=VECTORS[row].tolist(), similarity_top_k=k, **query)


def test_nodes_are_what_was_added(store: QadaptVectorStore) -> None:
    found = store.query(ask(3))
    scores = VECTORS @ VECTORS[3]
    assert found.ids == [f"node-{row}" for row in np.argsort(-scores)]
    np.testing.assert_allclose(found.similarities or [], np.sort(scores)[::-1], atol=1e-5)
    first, expected = (found.nodes or [])[0], nodes()[3]
    assert (first.node_id, first.get_content(), first.metadata) == ("node-3", "text 3", METADATA[3])
    assert first.ref_doc_id == "doc-1" and first.hash == expected.hash
    (again,) = store.get_nodes(["node-3"])
    np.testing.assert_allclose(again.embedding or [], VECTORS[3], atol=1e-6)
    assert len(store.get_nodes()) == len(METADATA) and store.get_nodes([]) == []


def one(key: str, operator: FilterOperator, value: Any = None) -> MetadataFilters:
    return MetadataFilters(filters=[MetadataFilter(key=key, operator=operator, value=value)])


O = FilterOperator  # noqa: E741
FILTERS: list[tuple[MetadataFilters, list[int]]] = [
    (one("topic", O.EQ, "art"), [0, 2]),
    (one("topic", O.NE, "art"), [1, 3, 4]),
    (one("year", O.GT, 1999), [1, 4]),
    (one("year", O.GTE, 1999), [0, 1, 4]),
    (one("year", O.LT, 2005), [0]),
    (one("year", O.LTE, 2005), [0, 1]),
    (one("topic", O.IN, ["art", "law"]), [0, 2, 3]),
    (one("topic", O.NIN, ["art", "law"]), [1, 4]),
    (one("tags", O.CONTAINS, "b"), [0, 4]),
    (one("tags", O.ANY, ["a", "c"]), [0]),
    (one("tags", O.ALL, ["a", "b"]), [0]),
    (one("year", O.IS_EMPTY), [2, 3]),
    (one("tags", O.IS_EMPTY), [1, 2, 3]),
    (one("year", O.EQ, None), [2]),
    (MetadataFilters(filters=[]), [0, 1, 2, 3, 4]),
    (
        MetadataFilters(
            filters=[
                MetadataFilter(key="topic", value="law"),
                MetadataFilters(
                    filters=[
                        MetadataFilter(key="topic", value="art"),
                        MetadataFilter(key="year", operator=O.GT, value=1990),
                    ]
                ),
            ],
            condition=FilterCondition.OR,
        ),
        [0, 3],
    ),
    (
        MetadataFilters(
            filters=[MetadataFilter(key="topic", value=each) for each in ("law", "art")],
            condition=FilterCondition.NOT,
        ),
        [1, 4],
    ),
]
# LlamaIndex's own evaluation in Python counts "" as empty, never matches a null by equality, and
# refuses nested filters.
_OURS = (O.IS_EMPTY,)


def test_filters(store: QadaptVectorStore) -> None:
    for filters, expected in FILTERS:
        found = store.query(ask(filters=filters)).ids or []
        assert sorted(found) == [f"node-{row}" for row in expected], filters


@pytest.mark.parametrize(("filters", "expected"), FILTERS, ids=lambda value: str(value)[:70])
def test_filters_mean_what_llama_index_means(filters: MetadataFilters, expected: list[int]) -> None:
    leaves = [each for each in filters.filters if isinstance(each, MetadataFilter)]
    if len(leaves) == len(filters.filters) and not any(
        each.operator in _OURS or each.value is None for each in leaves
    ):
        matches = build_metadata_filter_fn(lambda row: METADATA[int(row)], filters)
        assert expected == [row for row in range(len(METADATA)) if matches(str(row))]


@pytest.mark.parametrize(
    "filters",
    [
        one("topic", O.TEXT_MATCH, "a"),
        one("topic", O.TEXT_MATCH_INSENSITIVE, "a"),
        one("topic", O.IN, "art"),
        one("topic", O.ALL, []),
        one("topic", O.EQ, ["a"]),
        one("year", O.GT, None),
        one("topic", O.GT, "x"),
    ],
    ids=lambda value: str(value)[:70],
)
def test_filters_that_cannot_be_translated_are_refused(filters: MetadataFilters) -> None:
    with pytest.raises(SpecError) as caught:
        translated(filters)
    assert caught.value.hint


def test_searches_in_some_nodes_or_documents(store: QadaptVectorStore) -> None:
    assert store.query(ask(node_ids=["node-1", "node-9"])).ids == ["node-1"]
    assert sorted(store.query(ask(doc_ids=["doc-1"])).ids or []) == ["node-1", "node-3"]
    both = ask(doc_ids=["doc-0"], filters=one("topic", O.EQ, "art"))
    assert sorted(store.query(both).ids or []) == ["node-0", "node-2"]


def test_modes(store: QadaptVectorStore) -> None:
    for given in ({"mmr_threshold": 1.0}, {"mmr_threshold": 1.0, "mmr_prefetch_k": 5}):
        found = store.query(ask(1, 3, mode=VectorStoreQueryMode.MMR), **given)
        assert found.ids == store.query(ask(1, 3)).ids
    few = store.query(ask(1, 2, mode=VectorStoreQueryMode.MMR, mmr_threshold=0.0))
    cosines = VECTORS @ VECTORS[1]
    assert few.ids == ["node-1", f"node-{int(np.argmin(cosines))}"]
    with pytest.raises(UnsupportedError, match="no query mode 'hybrid'"):
        store.query(ask(mode=VectorStoreQueryMode.HYBRID))
    with pytest.raises(SpecError, match="unknown option 'rescor'"):
        store.query(ask(), rescor=4)
    with pytest.raises(InputError, match="no embedding"):
        store.query(VectorStoreQuery(similarity_top_k=1))


def test_deletion(store: QadaptVectorStore) -> None:
    store.delete("doc-1")
    assert sorted(each.node_id for each in store.get_nodes()) == ["node-0", "node-2", "node-4"]
    store.delete_nodes(["node-0", "node-2"], one("year", O.EQ, 1999))
    assert sorted(each.node_id for each in store.get_nodes()) == ["node-2", "node-4"]
    store.delete_nodes([])
    with pytest.raises(InputError, match="needs node_ids or filters"):
        store.delete_nodes()
    assert store.client.count() == 2
    store.clear()
    assert store.client.count() == 0 and store.query(ask()).ids == []


def test_writes_that_lose_something_are_refused(store: QadaptVectorStore) -> None:
    for wrong, reason in (
        (TextNode(text="x"), "no embedding"),
        (TextNode(text="x", metadata={"text": 1}, embedding=[1.0] * DIM), "have the key 'text'"),
    ):
        with pytest.raises(InputError, match=reason):
            store.add([nodes()[0], wrong])
    assert store.client.count() == len(METADATA)
    assert store.add([]) == []
    store.client.write(qa.Batch([7], {"": VECTORS[:1]}))
    with pytest.raises(InputError, match="not written by LlamaIndex"):
        store.get_nodes()


def test_rescoring_per_query(tmp_path: Path) -> None:
    store = QadaptVectorStore.create(f"edge:{tmp_path}#notes", dim=DIM)
    store.add(nodes())
    store.client.plan(CODES).apply(yes=True)
    exact = store.query(ask(2), exact=True).similarities or []
    np.testing.assert_allclose(store.query(ask(2), rescore=8).similarities or [], exact, atol=1e-5)
    codes = store.query(ask(2), rescore="off").similarities or []
    assert np.abs(np.array(codes) - exact).max() > 1e-3
    store.close()


def test_asynchronous_methods(store: QadaptVectorStore) -> None:
    async def run() -> list[Any]:
        found = await asyncio.gather(*(store.aquery(ask(row % 5, 1)) for row in range(20)))
        await store.async_add([TextNode(id_="7", text="more", embedding=VECTORS[0].tolist())])
        assert [each.node_id for each in await store.aget_nodes(["7"])] == ["7"]
        await store.adelete("doc-0")
        await store.adelete_nodes(["7"])
        left = [each.node_id for each in await store.aget_nodes()]
        assert sorted(left) == ["node-1", "node-3"]
        await store.aclear()
        return [(each.ids or [])[0] for each in found]

    assert asyncio.run(run()) == [f"node-{row % 5}" for row in range(20)]
    assert store.client.count() == 0


def test_an_index_uses_the_store(store: QadaptVectorStore) -> None:
    store.clear()
    model = MockEmbedding(embed_dim=DIM)
    index = VectorStoreIndex.from_vector_store(store, embed_model=model)
    index.insert_nodes([TextNode(id_=str(row), text=f"text {row}") for row in range(3)])
    assert store.client.count() == 3
    retriever = index.as_retriever(similarity_top_k=3, vector_store_kwargs={"rescore": 8})
    found = retriever.retrieve("text")
    assert sorted(each.node.get_content() for each in found) == ["text 0", "text 1", "text 2"]
    assert all(each.score == pytest.approx(1) for each in found)
