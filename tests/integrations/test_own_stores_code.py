"""The printed code of ``qa.client_params`` runs in the frameworks' own stores: the same ids."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest

pytest.importorskip("langchain_core", reason="needs the environment of `make test-integrations`")

import qadapt as qa
from qadapt.integrations.store_arguments import StoreArguments

REASON = "needs the environment of `make test-integrations`"
ROWS, DIM = 1_200, 32
RNG = np.random.default_rng(0)
VECTORS = RNG.standard_normal((ROWS, DIM), dtype=np.float32)
VECTORS /= np.linalg.norm(VECTORS, axis=1, keepdims=True)
QUERIES = RNG.standard_normal((6, DIM), dtype=np.float32)
UUIDS = [str(uuid.UUID(int=row + 1)) for row in range(ROWS)]
Live = Callable[[str], str]


def pasted(collection: qa.Collection, for_: str) -> dict[str, Any]:
    """The names that the printed code defines."""
    found = qa.client_params(collection, for_=for_)
    assert isinstance(found, StoreArguments)
    names: dict[str, Any] = {"store_arguments": {}}
    exec(compile(found.code, "pasted.py", "exec"), names)
    return names


def own_payloads(collection: qa.Collection, field: str) -> list[list[Any]]:
    """A field of the rows that qadapt's own search finds."""
    found = collection.search(QUERIES, k=10, with_payload=True).payloads
    return [[payload[field] for payload in row if payload is not None] for row in found]


@pytest.fixture
def postgres(live: Live) -> Iterator[tuple[str, qa.Database, str]]:
    """Address, database and the name of a table, which is dropped."""
    url, name = live("pgvector"), f"own_{uuid.uuid4().hex[:8]}"
    with qa.open(url) as database:
        yield url, database, name
        for table in (name, f"data_{name}"):
            if table in database:
                database.drop(table)


def test_the_store_of_llama_index_for_postgres(postgres: tuple[str, qa.Database, str]) -> None:
    module = pytest.importorskip(
        "llama_index.vector_stores.postgres",
        reason=REASON,
    )
    from llama_index.core.schema import TextNode
    from llama_index.core.vector_stores import VectorStoreQuery

    url, database, name = postgres
    place = urlsplit(url)

    def opened(**more: Any) -> Any:
        return module.PGVectorStore.from_params(
            host=place.hostname, port=place.port, database=place.path[1:], user=place.username,
            password=place.password or "", table_name=name, embed_dim=DIM, **more,
        )  # fmt: skip

    store = opened(hnsw_kwargs={"hnsw_m": 16, "hnsw_ef_construction": 64})
    store.add(
        [
            TextNode(text=key, id_=key, embedding=vector.tolist())
            for key, vector in zip(UUIDS, VECTORS, strict=True)
        ]
    )
    collection = database[f"data_{name}"]
    names = pasted(collection, "llama-index-postgres")
    again = opened(**names["store_arguments"])
    search = names["search"]
    found = [
        again.query(
            VectorStoreQuery(query.tolist(), similarity_top_k=search["similarity_top_k"]),
            **search["vector_store_kwargs"],
        ).ids
        for query in QUERIES
    ]
    assert search["vector_store_kwargs"]["hnsw_ef_search"] >= 10
    assert found == own_payloads(collection, "node_id")


# The store has no method that closes its connection.
@pytest.mark.filterwarnings("ignore:.*psycopg.Connection.* was deleted while still open")
def test_the_store_of_haystack_for_postgres(
    postgres: tuple[str, qa.Database, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = pytest.importorskip(
        "haystack_integrations.document_stores.pgvector",
        reason=REASON,
    )
    from haystack import Document
    from haystack_integrations.components.retrievers.pgvector import PgvectorEmbeddingRetriever

    url, database, name = postgres
    monkeypatch.setenv("PG_CONN_STR", url)

    def opened(**more: Any) -> Any:
        return module.PgvectorDocumentStore(
            table_name=name, embedding_dimension=DIM, vector_function="cosine_similarity",
            **{"search_strategy": "hnsw", **more},
        )  # fmt: skip

    opened().write_documents(
        [
            Document(id=key, content=key, embedding=vector.tolist())
            for key, vector in zip(UUIDS, VECTORS, strict=True)
        ]
    )
    collection = database[name]
    names = pasted(collection, "haystack-pgvector")
    assert names["store_arguments"]["hnsw_ef_search"] >= 10
    retriever = PgvectorEmbeddingRetriever(
        document_store=opened(**names["store_arguments"]), **names["search"]
    )
    found = [retriever.run(query_embedding=query.tolist())["documents"] for query in QUERIES]
    ids = [[each.id for each in row] for row in found]
    assert ids == collection.search(QUERIES, k=10).ids.tolist()


# -- Weaviate --------------------------------------------------------------------------------------


@pytest.fixture
def weaviate(live: Live) -> Iterator[tuple[Any, qa.Database, str]]:
    """A client, the database and the name of a class, which is dropped."""
    client_module = pytest.importorskip("weaviate", reason=REASON)
    with qa.open(live("weaviate")) as database:
        address = database._store.address
        client = client_module.connect_to_local(
            host=address.host, port=address.port, grpc_port=int(address.options["grpc"])
        )
        name = f"Own{uuid.uuid4().hex[:8]}"
        try:
            yield client, database, name
        finally:
            if name in database:
                database.drop(name)
            client.close()


def test_the_store_of_llama_index_for_weaviate(weaviate: tuple[Any, qa.Database, str]) -> None:
    module = pytest.importorskip("llama_index.vector_stores.weaviate", reason=REASON)
    from llama_index.core.schema import TextNode
    from llama_index.core.vector_stores import VectorStoreQuery

    client, database, name = weaviate
    store = module.WeaviateVectorStore(weaviate_client=client, index_name=name)
    store.add(
        [
            TextNode(text=key, id_=key, embedding=vector.tolist())
            for key, vector in zip(UUIDS, VECTORS, strict=True)
        ]
    )
    collection = database[name]
    collection.plan("rotational:bits=8,rescore=6").apply(yes=True)
    search = pasted(collection, "llama-index-weaviate")["search"]
    assert search["similarity_top_k"] == 60
    found = [
        store.query(
            VectorStoreQuery(query.tolist(), similarity_top_k=search["similarity_top_k"]),
            **search["vector_store_kwargs"],
        ).ids[:10]
        for query in QUERIES
    ]
    assert found == collection.search(QUERIES, k=10).ids.tolist()


def test_the_store_of_haystack_for_weaviate(weaviate: tuple[Any, qa.Database, str]) -> None:
    module = pytest.importorskip("haystack_integrations.document_stores.weaviate", reason=REASON)
    from haystack import Document
    from haystack_integrations.components.retrievers.weaviate import WeaviateEmbeddingRetriever

    _, database, name = weaviate
    address = database._store.address
    store = module.WeaviateDocumentStore(
        url=f"http://{address.host}:{address.port}",
        grpc_port=int(address.options["grpc"]),
        collection_settings={"class": name, "vectorIndexConfig": {"distance": "cosine"}},
    )
    store.write_documents(
        [
            Document(id=key, content=key, embedding=vector.tolist())
            for key, vector in zip(UUIDS, VECTORS, strict=True)
        ]
    )
    collection = database[name]
    collection.plan("rotational:bits=8,rescore=6").apply(yes=True)
    search = pasted(collection, "haystack-weaviate")["search"]
    assert search["top_k"] == 60
    retriever = WeaviateEmbeddingRetriever(document_store=store, **search)
    found = [retriever.run(query_embedding=query.tolist())["documents"] for query in QUERIES]
    ids = [[each.id for each in row[:10]] for row in found]
    assert ids == own_payloads(collection, "_original_id")
    store.client.close()


# -- Elasticsearch ---------------------------------------------------------------------------------


@pytest.mark.extended  # needs a JDK, which the environment of the other tests here does not
def test_the_store_of_langchain_for_elasticsearch(live: Live) -> None:
    module = pytest.importorskip("langchain_elasticsearch", reason=REASON)
    from elasticsearch import Elasticsearch
    from langchain_core.embeddings import Embeddings

    class Numbers(Embeddings):
        def embed_query(self, text: str) -> list[float]:
            return QUERIES[int(text) if text.isdecimal() else 0].tolist()

        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            return [VECTORS[UUIDS.index(text)].tolist() for text in texts]

    url, name = live("elasticsearch"), f"own_{uuid.uuid4().hex[:8]}"
    with (
        qa.open(url) as database,
        Elasticsearch(url.partition("+")[2], request_timeout=60) as client,
    ):
        store = module.ElasticsearchStore(name, embedding=Numbers(), client=client)
        store.add_texts(UUIDS, ids=UUIDS)
        collection = database[name]
        try:
            collection.plan("scalar:rescore=4").apply(yes=True)
            search = pasted(collection, "langchain-elasticsearch")["search"]
            found = [store.similarity_search(str(at), **search) for at in range(len(QUERIES))]
            ids = [[each.page_content for each in row] for row in found]
            assert ids == collection.search(QUERIES, k=10).ids.tolist()
        finally:
            database.drop(name)
