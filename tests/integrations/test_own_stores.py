"""Arguments of ``qa.client_params`` in the frameworks' own stores: the ids of qadapt's search."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("langchain_qdrant", reason="needs the environment of `make test-integrations`")

from langchain_core.embeddings import Embeddings

import qadapt as qa
from qadapt.errors import SpecError, UnsupportedError
from qadapt.integrations.store_arguments import FORMS, StoreArguments
from qadapt.model.client_params import ClientParams

ROWS, DIM = 1_200, 32
TEXTS = [f"text {row}" for row in range(ROWS)]
QUERIES = [f"query {number}" for number in range(6)]


class Numbers(Embeddings):
    """A random unit vector for each text, always the same."""

    def embed_query(self, text: str) -> list[float]:
        made = np.random.default_rng(list(text.encode())).normal(size=DIM)
        return (made / np.linalg.norm(made)).astype(np.float32).tolist()

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self.embed_query(text) for text in texts]


EMBED = Numbers()


def own_ids(collection: qa.Collection) -> list[list[Any]]:
    """Ids of qadapt's own search."""
    return collection.search(EMBED.embed_documents(QUERIES), k=10).ids.tolist()


def arguments(collection: Any, for_: str) -> StoreArguments:
    found = qa.client_params(collection, for_=for_)
    assert isinstance(found, StoreArguments)
    return found


# -- Qdrant ----------------------------------------------------------------------------------------

SENT = {"quantization": {"rescore": True, "oversampling": 4.0}}


@pytest.fixture
def qdrant() -> Iterator[Any]:
    """LangChain's store on a local Qdrant client, with the requests that the client received."""
    from langchain_qdrant import QdrantVectorStore
    from qdrant_client import QdrantClient, models

    client = QdrantClient(":memory:")
    client.create_collection(
        "notes", vectors_config=models.VectorParams(size=DIM, distance=models.Distance.COSINE)
    )
    made = QdrantVectorStore(client, "notes", EMBED)
    made.add_texts(TEXTS[:300], ids=[str(uuid.UUID(int=row + 1)) for row in range(300)])
    yield made
    client.close()


def test_the_store_of_langchain_qdrant_returns_the_same_ids(qdrant: Any) -> None:
    collection = qa.wrap(qdrant.client)["notes"]
    found = arguments(collection, "langchain-qdrant")
    assert found.search == {"k": 10}, "the local mode has no quantization"
    documents = [qdrant.similarity_search(text, **found.search) for text in QUERIES]
    assert [[each.metadata["_id"] for each in row] for row in documents] == own_ids(collection)


@pytest.mark.filterwarnings("ignore:Local mode performs exact:UserWarning")
def test_the_store_of_langchain_qdrant_sends_the_parameters(
    qdrant: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The local mode ignores them, so the request is compared."""
    from qdrant_client import models

    seen: list[Any] = []
    query_points = qdrant.client.query_points
    monkeypatch.setattr(
        qdrant.client,
        "query_points",
        lambda **sent: seen.append(sent.get("search_params")) or query_points(**sent),
    )
    params = ClientParams("notes", "", 10, True, limit=10, params=SENT)
    made = FORMS["langchain-qdrant"].convert(params, qa.Metric.COSINE)
    assert len(qdrant.similarity_search("query", **_values(made.search))) == 10
    assert seen == [models.SearchParams(**SENT)]


@pytest.mark.filterwarnings("ignore:Local mode performs exact:UserWarning")
@pytest.mark.filterwarnings("ignore:Payload indexes have no effect:UserWarning")
def test_the_store_of_llama_index_sends_the_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    from llama_index.core.schema import TextNode
    from llama_index.core.vector_stores import VectorStoreQuery
    from llama_index.vector_stores.qdrant import QdrantVectorStore
    from qdrant_client import QdrantClient, models

    client = QdrantClient(":memory:")
    store = QdrantVectorStore("notes", client=client)
    store.add([TextNode(text=text, embedding=EMBED.embed_query(text)) for text in TEXTS[:50]])
    seen: list[Any] = []
    query_points = client.query_points

    def recorded(**sent: Any) -> Any:
        seen.append(sent["search_params"])
        return query_points(**sent)

    monkeypatch.setattr(client, "query_points", recorded)
    params = ClientParams("notes", "", 10, True, limit=10, params=SENT)
    found = FORMS["llama-index-qdrant"].convert(params, qa.Metric.COSINE).search
    query = VectorStoreQuery(EMBED.embed_query("query"), similarity_top_k=found["similarity_top_k"])
    assert len(store.query(query, **found["vector_store_kwargs"]).ids) == 10
    assert seen == [models.SearchParams(**SENT)]
    client.close()


def _values(given: Any) -> dict[str, Any]:
    return {key: each.value() if hasattr(each, "value") else each for key, each in given.items()}


# -- Milvus ----------------------------------------------------------------------------------------


def test_the_store_of_langchain_milvus_returns_the_same_ids(tmp_path: Path) -> None:
    from langchain_milvus import Milvus

    store = Milvus(
        EMBED,
        connection_args={"uri": str(tmp_path / "m.db")},
        index_params={"index_type": "FLAT", "metric_type": "COSINE", "params": {}},
    )
    store.add_texts(TEXTS, ids=[f"n{row}" for row in range(ROWS)])
    collection = qa.wrap(store.client)[store.collection_name]
    change = collection.plan("scalar").apply(yes=True)
    assert change.status.state == "active"
    found = arguments(collection, "langchain-milvus")
    assert found.search["param"]["metric_type"] == "COSINE"
    assert found.search["param"]["params"], "IVF needs nprobe"
    documents = [store.similarity_search(text, **found.search) for text in QUERIES]
    assert [[each.metadata["pk"] for each in row] for row in documents] == own_ids(collection)
    collection.plan("scalar:rescore=4").apply(yes=True)
    with pytest.raises(UnsupportedError, match="cannot score candidates again"):
        qa.client_params(collection, for_="langchain-milvus")
    with pytest.raises(SpecError, match=r"unknown form 'langchain-qdrant' in milvus"):
        qa.client_params(collection, for_="langchain-qdrant")
    store.client.close()


# -- PostgreSQL ------------------------------------------------------------------------------------


def test_the_store_of_langchain_postgres_returns_the_same_ids(live: Callable[[str], str]) -> None:
    from langchain_postgres import PGEngine, PGVectorStore
    from langchain_postgres.v2.indexes import HNSWIndex

    url, table = live("pgvector"), f"own_{uuid.uuid4().hex[:8]}"
    engine = PGEngine.from_connection_string("postgresql+psycopg" + url.removeprefix("postgresql"))
    engine.init_vectorstore_table(table, DIM)
    store = PGVectorStore.create_sync(engine, EMBED, table)
    store.add_texts(TEXTS, ids=[str(uuid.UUID(int=row + 1)) for row in range(ROWS)])
    store.apply_vector_index(HNSWIndex())
    with qa.open(url) as database:
        collection = database[table]
        try:
            found = arguments(collection, "langchain-postgres")
            sent = found.store["index_query_options"].to_parameter()
            assert any(each.startswith("hnsw.ef_search = ") for each in sent)
            own = own_ids(collection)
            again = PGVectorStore.create_sync(engine, EMBED, table, **found.store)
            documents = [again.similarity_search(text, **found.search) for text in QUERIES]
            assert [[each.id for each in row] for row in documents] == own
            code: dict[str, Any] = {}
            exec(compile(found.code, "pasted.py", "exec"), code)  # the code that users paste
            assert code["store_arguments"]["index_query_options"].to_parameter() == sent
            assert code["search"] == dict(found.search)
            collection.plan("binary:rescore=4").apply(yes=True)
            with pytest.raises(UnsupportedError, match="sends its own SQL"):
                qa.client_params(collection, for_="langchain-postgres")
        finally:
            asyncio.run(engine.close())
            database.drop(table)


# -- Weaviate --------------------------------------------------------------------------------------


def test_the_store_of_langchain_weaviate_returns_the_same_ids(live: Callable[[str], str]) -> None:
    weaviate = pytest.importorskip("weaviate")
    from langchain_weaviate import WeaviateVectorStore

    with qa.open(live("weaviate")) as database:
        address = database._store.address
        client = weaviate.connect_to_local(
            host=address.host, port=address.port, grpc_port=int(address.options["grpc"])
        )
        name = f"Own{uuid.uuid4().hex[:8]}"
        try:
            store = WeaviateVectorStore(client, name, "text", embedding=EMBED)
            store.add_texts(TEXTS, uuids=[uuid.UUID(int=row + 1) for row in range(ROWS)])
            collection = database[name]
            collection.plan("rotational:bits=8,rescore=6").apply(yes=True)
            found = arguments(collection, "langchain-weaviate")
            assert (found.search["k"], found.keep, found.search["alpha"]) == (60, 10, 1)
            documents = [
                store.similarity_search(text, return_uuids=True, **found.search) for text in QUERIES
            ]
            ids = [[each.metadata["uuid"] for each in row[: found.keep]] for row in documents]
            assert ids == own_ids(collection)
        finally:
            if name in database:
                database.drop(name)
            client.close()
