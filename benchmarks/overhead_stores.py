"""Stores of ``overhead.py``, and the searches that a user of each client writes.

A raw search returns ids, scores and payloads as qadapt does, for the same parameters.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from overhead_replay import replayed
from overhead_servers import SERVERS, started

import qadapt as qa
from qadapt.stores.base import SearchRequest
from qadapt.stores.elastic.search import QUERY

NAME = "overhead"
DIM = 384
MOST_SLOW = 1_000  # rows of embedded stores in Python
SETTINGS = {
    "edge": "binary",
    "weaviate": "scalar",
    "pgvector": "binary",
    "elasticsearch": "scalar",
    "sqlite-vec": "binary:rescore=4",
    "lancedb": "rotational:bits=1,rescore=4",
    "clickhouse": "float16",
}

Rows = list[tuple[Any, float, Any]]
Search = Callable[[Any], Rows]
RawOf = Callable[[int, bool, bool], Search]  # k, payload, read the results


def filled(db: qa.Database, setting: str | None, rows: int) -> qa.Collection:
    """A new collection with random rows and payloads."""
    random = np.random.default_rng(0)
    name = NAME.capitalize() if db.server().store == "weaviate" else NAME
    if name in db:
        db.drop(name)
    db.create(name, dim=DIM, metric="cosine")
    collection = db[name]
    if db.server().deployment in ("local", "lite"):
        rows = min(rows, MOST_SLOW)
    ids: Sequence[Any] = range(rows)
    if db.server().store == "weaviate":
        ids = [f"{at:032x}"[:8] + f"-0000-4000-8000-{at:012x}" for at in range(rows)]
    payloads = [{"group": at % 7, "title": f"title of row {at}"} for at in range(rows)]
    vectors = random.standard_normal((rows, DIM), dtype=np.float32)
    collection.write(qa.Batch(list(ids), {"": vectors}, payloads))
    if setting:
        collection.plan(setting, accept="differs").apply(yes=True)
    return collection


def edge_raw(collection: Any) -> RawOf:
    import qdrant_edge as edge

    with collection._store.shard(NAME).use("search") as opened:
        shard = opened  # the engine opens a folder only once per process

    def of(k: int, payload: bool, read: bool) -> Search:
        def search(query: Any) -> Rows:
            nearest = edge.Query.Nearest(query.tolist(), using=None)
            found = shard.query(edge.QueryRequest(limit=k, query=nearest, with_payload=payload))
            if not read:
                return []
            return [(row.id, row.score, row.payload if payload else None) for row in found]

        return search

    return of


def qdrant_raw(client: Any) -> RawOf:
    def of(k: int, payload: bool, read: bool) -> Search:
        def search(query: Any) -> Rows:
            found = client.query_points(NAME, query=query, limit=k, with_payload=payload)
            if not read:
                return []
            return [(row.id, row.score, row.payload if payload else None) for row in found.points]

        return search

    return of


def milvus_raw(collection: Any) -> RawOf:
    client = collection._store.connection.client
    level = collection._store.reader.layout(NAME).consistency

    def of(k: int, payload: bool, read: bool) -> Search:
        params = collection.client_params(k=k).params
        wanted = ["qadapt_id", "group", "title"] if payload else ["qadapt_id"]

        def search(query: Any) -> Rows:
            found = client.search(
                NAME,
                data=[query],
                anns_field="vector",
                limit=k,
                output_fields=wanted,
                search_params={"metric_type": "COSINE", "params": params},
                consistency_level=level,
            )
            if not read:
                return []
            return [
                (
                    int(hit["entity"].pop("qadapt_id")[1:]),
                    hit["distance"],
                    dict(hit["entity"]) if payload else None,
                )
                for hit in found[0]
            ]

        return search

    return of


def weaviate_raw(collection: Any) -> RawOf:
    from weaviate.classes.query import MetadataQuery

    rows = collection._store.connection.client.collections.get(collection.name)
    distance = MetadataQuery(distance=True)

    def of(k: int, payload: bool, read: bool) -> Search:
        limit = collection.client_params(k=k).limit
        wanted = ["group", "title"] if payload else []

        def search(query: Any) -> Rows:
            found = rows.query.near_vector(
                query, limit=limit, return_metadata=distance, return_properties=wanted
            )
            if not read:
                return []
            return [
                (str(row.uuid), 1 - row.metadata.distance, row.properties if payload else None)
                for row in found.objects[:k]
            ]

        return search

    return of


def sqlite_raw(collection: Any) -> RawOf:
    connection = collection._store.connection._opened

    def of(k: int, payload: bool, read: bool) -> Search:
        words = "t.id, t.payload" if payload else "t.id"
        text = (
            f'WITH c AS MATERIALIZED (SELECT id, distance FROM "{NAME}__embedding_bit" '
            f"WHERE codes MATCH vec_quantize_binary(?) AND k = {4 * k}) "
            f"SELECT {words}, vec_distance_cosine(t.embedding, ?) AS d FROM c "
            f'CROSS JOIN "{NAME}" AS t ON t.id = c.id ORDER BY d NULLS LAST LIMIT {k}'
        )

        def search(query: Any) -> Rows:
            sent = query.tobytes()
            found = connection.execute(text, (sent, sent)).fetchall()
            if not read:
                return []
            return [(row[0], 1 - row[-1], json.loads(row[1]) if payload else None) for row in found]

        return search

    return of


def lancedb_raw(collection: Any) -> RawOf:
    table = collection._store.connection.client.open_table(NAME)

    def of(k: int, payload: bool, read: bool) -> Search:
        columns = ["id", "_distance", *(["payload"] if payload else [])]

        def search(query: Any) -> Rows:
            asked = table.search(query, vector_column_name="vector").distance_type("cosine")
            asked = asked.minimum_nprobes(20).maximum_nprobes(0).refine_factor(4)
            found = asked.limit(k).select(columns).to_arrow()
            if not read:
                return []
            texts = found["payload"].to_pylist() if payload else [None] * len(found)
            cells = zip(found["id"].to_pylist(), found["_distance"].to_pylist(), texts, strict=True)
            return [(key, 1 - far, json.loads(text) if text else None) for key, far, text in cells]

        return search

    return of


def chroma_raw(collection: Any) -> RawOf:
    at = collection._store.connection.client.get_collection(NAME)

    def of(k: int, payload: bool, read: bool) -> Search:
        include: list[Any] = ["distances", *(["metadatas", "documents"] if payload else [])]

        def search(query: Any) -> Rows:
            found = at.query(query_embeddings=[query], n_results=k, include=include)
            if not read:
                return []
            cells = found["metadatas"][0] if payload else [None] * len(found["ids"][0])
            rows = zip(found["ids"][0], found["distances"][0], cells, strict=True)
            return [(int(key), 1 - far, cell) for key, far, cell in rows]

        return search

    return of


def pgvector_raw(collection: Any) -> RawOf:
    import psycopg
    from pgvector.psycopg import register_vector

    store = collection._store
    own = threading.local()  # a connection of each thread

    def connected(settings: bytes) -> Any:
        at = psycopg.connect(**store.connection.arguments, autocommit=True)
        register_vector(at)
        if settings:
            at.execute(settings)
        return at.cursor(binary=True)

    def of(k: int, payload: bool, read: bool) -> Search:
        collection.search(np.ones(DIM, np.float32), k, with_payload=payload)
        prepared = next(
            made
            for key, (_, (_, made)) in store._searches._known.items()
            if key[1] == k and key[5] == payload
        )
        settings = prepared.session_text if prepared.settings else b""
        # psycopg parses a column of type jsonb itself.
        statement, copies = prepared.text.replace(b"::text", b""), sum(prepared.copies)
        place = f"cursor_{k}_{payload}"

        def search(query: Any) -> Rows:
            cursor = getattr(own, place, None)
            if cursor is None:
                cursor = connected(settings)
                setattr(own, place, cursor)
            found = cursor.execute(statement, (query,) * copies, prepare=True).fetchall()
            if not read:
                return []
            return [(row[0], 1 - row[-1], row[1] if payload else None) for row in found]

        return search

    return of


def clickhouse_raw(collection: Any) -> RawOf:
    from qadapt.stores.clickhouse import search as searches
    from qadapt.stores.clickhouse.filters import Condition

    store = collection._store
    client = store.connection._transport._client  # chDB opens a folder once per process

    def of(k: int, payload: bool, read: bool) -> Search:
        request = SearchRequest(k=k, vector="", with_payload=payload)
        table = store.known_table(NAME)
        metric = qa.Metric.COSINE
        made = searches.prepare(table, table.column_of(""), metric, request, Condition())

        def search(query: Any) -> Rows:
            given = {"q": json.dumps(query.tolist())}
            found = client.query(made.text, "JSONCompact", params=given).bytes()
            if not read:
                return []
            return [
                (int(row[0]), 1 - row[-1], json.loads(row[1]) if payload else None)
                for row in json.loads(found)["data"]
            ]

        return search

    return of


def elastic_raw(collection: Any) -> RawOf:
    store = collection._store
    client = store.connection.wire.client
    by_keyword = store.name == "elasticsearch"

    def of(k: int, payload: bool, read: bool) -> Search:
        collection.search(np.ones(DIM, np.float32), k, with_payload=payload)
        request = SearchRequest(k=k, vector="", with_payload=payload)
        found = store.prepare(store.known_index(NAME), request)
        body = json.loads(found.bodies[0])
        if by_keyword:
            body["source"] = body.pop("_source")
        text = json.dumps(body)
        mark = json.dumps(QUERY)
        assert text.count(mark) == 1

        def search(query: Any) -> Rows:
            sent = _with_query(body, query.tolist())
            if by_keyword:
                answer = client.search(index=NAME, **sent)
            else:
                answer = client.search(index=NAME, body=sent)
            if not read:
                return []
            return [
                (
                    int(hit["_id"]),
                    2 * hit["_score"] - 1,
                    hit["_source"]["payload"] if payload else None,
                )
                for hit in answer["hits"]["hits"]
            ]

        return search

    return of


def _with_query(body: Any, query: list[float]) -> Any:
    """A copy of a body with the query vector in place of the mark."""
    if body == QUERY:
        return query
    if isinstance(body, dict):
        return {key: _with_query(each, query) for key, each in body.items()}
    return [_with_query(each, query) for each in body] if isinstance(body, list) else body


@contextmanager
def opened(target: str, folder: Path, rows: int) -> Iterator[tuple[Any, RawOf]]:
    """A collection of a store, and the raw searches of its client."""
    if target in ("qdrant-rest", "qdrant-grpc"):
        with replayed(NAME, DIM, rows) as (rest, grpc):
            more = f"?grpc={grpc}" if target == "qdrant-grpc" else ""
            with qa.open(f"qdrant+http://127.0.0.1:{rest}{more}") as db:
                yield db[NAME], qdrant_raw(db._store.connection.client)
        return
    addresses = {
        "edge": f"edge:{folder}/edge",
        "local": "qdrant::memory:",
        "lite": f"milvus:{folder}/lite.db",
        "sqlite-vec": f"sqlite-vec:{folder}/vec.db",
        "lancedb": f"lancedb:{folder}/lance",
        "chroma": f"chroma:{folder}/chroma",
        "clickhouse": f"clickhouse:{folder}/clickhouse",
    }
    if target in SERVERS:
        with started(target) as url, opened(url, folder, rows) as found:
            yield found
        return
    with qa.open(addresses.get(target, target)) as db:
        kind = db.server().store
        collection = filled(db, SETTINGS.get(kind), rows)
        raws: dict[str, Callable[[Any], RawOf]] = {
            "edge": edge_raw,
            "qdrant": lambda _: qdrant_raw(db._store.connection.client),
            "milvus": milvus_raw,
            "weaviate": weaviate_raw,
            "sqlite-vec": sqlite_raw,
            "lancedb": lancedb_raw,
            "chroma": chroma_raw,
            "clickhouse": clickhouse_raw,
            "pgvector": pgvector_raw,
            "elasticsearch": elastic_raw,
            "opensearch": elastic_raw,
        }
        try:
            yield collection, raws[kind](collection)
        finally:
            db.drop(collection.name)
