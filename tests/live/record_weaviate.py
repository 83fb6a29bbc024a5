"""Records what a Weaviate server answers, for the gates of ``qadapt.stores.weaviate``.

    cd tests; QADAPT_WEAVIATE_SERVER=.../weaviate-server python -m live.record_weaviate

It starts that program (see ``tests/live/weaviate.py``), sends the requests below, and writes the
exchanges to ``tests/recordings/weaviate-<version>/``. Of a schema, the index is kept; of nodes, the
one collection. To be run by hand, once for each version.
"""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from live.weaviate import WeaviateServer
from qadapt.errors import QadaptError
from qadapt.model.address import Address
from qadapt.stores.weaviate.connection import proto
from qadapt.stores.weaviate.store import WeaviateStore

Config = dict[str, Any]
ROWS, DIM = 1000, 32
WAIT = 8.0  # seconds for codes to come
QUANTIZERS: dict[str, Config] = {
    "none": {},
    "pq": {"pq": {"enabled": True, "segments": 8}},
    "bq": {"bq": {"enabled": True}},
    "sq": {"sq": {"enabled": True}},
    "rq8": {"rq": {"enabled": True, "bits": 8}},
    "rq4": {"rq": {"enabled": True, "bits": 4}},
    "rq1": {"rq": {"enabled": True, "bits": 1}},
}
ON_FLAT = ("none", "bq", "rq8", "rq1")
KEPT = ("class", "vectorIndexType", "vectorIndexConfig", "vectorConfig")
_VECTORS = np.random.default_rng(0).standard_normal((ROWS, DIM)).astype("<f4")


class Recorder:
    """Sends requests and writes them down."""

    def __init__(self, server: WeaviateServer) -> None:
        self.rest = server.rest
        self.version = server.version
        self.store = WeaviateStore.open(Address.parse(server.url))
        self.folder = Path(__file__).parents[1] / "recordings" / f"weaviate-{self.version}"
        self.folder.mkdir(exist_ok=True)

    def write(self, name: str, request: Config, response: Config) -> None:
        """One file."""
        told = {"server": self.version, "request": request, "response": response}
        text = json.dumps(told, indent=1, ensure_ascii=False)
        (self.folder / f"{name}.json").write_text(text + "\n", "utf-8")

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """A request over REST: status and body."""
        request = urllib.request.Request(
            self.rest + path,
            None if body is None else json.dumps(body).encode(),
            {"Content-Type": "application/json"},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                raw, status = answer.read(), answer.status
        except urllib.error.HTTPError as error:
            raw, status = error.read(), error.code
        return status, json.loads(raw) if raw else None

    def record(self, name: str, method: str, path: str, body: Any = None) -> int:
        """A request that is written down; its status."""
        status, told = self.ask(method, path, body)
        request = {"method": method, "path": path, "body": _kept(body)}
        self.write(name, request, {"status": status, "body": _kept(told)})
        return status

    # -- requests ------------------------------------------------------------------------

    def made(self, name: str, index: str, config: Config) -> bool:
        """Create a collection; returns whether it has the requested quantizer."""
        body = {
            "class": name,
            "vectorizer": "none",
            "vectorIndexType": index,
            "vectorIndexConfig": {"distance": "cosine", **config},
        }
        if self.record(f"create_{name.lower()}", "POST", "/v1/schema", body) != 200:
            return False
        there = self.ask("GET", f"/v1/schema/{name}")[1]["vectorIndexConfig"]
        return any((there.get(key) or {}).get("enabled") for key in config)

    def fill(self, name: str) -> None:
        """All rows."""
        objects = [
            {"class": name, "id": str(uuid.UUID(int=at + 1)), "vector": row.tolist()}
            for at, row in enumerate(_VECTORS)
        ]
        self.ask("POST", "/v1/batch/objects", {"objects": objects})

    def nodes(self, name: str, real: str) -> None:
        """Status of the shards, once they have codes or after some seconds."""
        end = time.monotonic() + WAIT
        path = f"/v1/nodes/{real}?output=verbose"
        while time.monotonic() < end:
            (shard,) = self.ask("GET", path)[1]["nodes"][0]["shards"]
            if shard["compressed"] and shard["vectorIndexingStatus"] == "READY":
                break
            time.sleep(0.3)
        self.record(name, "GET", path)

    def update(self, name: str, real: str, config: Config) -> None:
        """Change fields of an existing index, and return the status of the shards."""
        _, raw = self.ask("GET", f"/v1/schema/{real}")
        for key, value in config.items():
            block = {**(raw["vectorIndexConfig"].get(key) or {}), **value}
            raw["vectorIndexConfig"][key] = block
        self.record(f"update_{name}", "PUT", f"/v1/schema/{real}", raw)
        _, now = self.ask("GET", f"/v1/schema/{real}")
        if any((now["vectorIndexConfig"].get(key) or {}).get("enabled") for key in config) or (
            "off" in name
        ):
            self.nodes(f"nodes_after_{name}", real)

    def grpc(self, name: str, method: str, request: Any) -> None:
        """A request over gRPC: the number of results, or the error of the server."""
        try:
            answer = self.store.connection.ask(method, request, doing=name, repeatable=False)
            told: Config = {
                "status": "OK",
                "body": {"results": len(getattr(answer, "results", ()))},
            }
            if method == "Aggregate":
                told["body"] = {"objects_count": answer.single_result.objects_count}
        except QadaptError as error:
            told = {"status": type(error).__name__, "body": error.message}
        asked = {"method": "gRPC", "path": method, "body": str(request)[:300]}
        self.write(name, asked, told)

    def close(self) -> None:
        """The client."""
        self.store.close()


def _kept(body: Any) -> Any:
    if not isinstance(body, Mapping):
        return body
    if "vectorIndexConfig" in body or "vectorConfig" in body:
        return {key: body[key] for key in KEPT if key in body}
    return body


def run(to: Recorder) -> None:
    """All of it."""
    for kind, config in QUANTIZERS.items():
        name = f"Hnsw_{kind}"
        if to.made(name, "hnsw", config):
            to.fill(name)
            to.nodes(f"nodes_hnsw_{kind}", name)
    for kind in ON_FLAT:
        name = f"Flat_{kind}"
        if to.made(name, "flat", QUANTIZERS[kind]):
            to.fill(name)
            to.nodes(f"nodes_flat_{kind}", name)
    to.made("Skip", "hnsw", {"skipDefaultQuantization": True})
    to.made("Hfresh", "hfresh", {})
    to.made("Dynamic", "dynamic", {})
    for kind, config in QUANTIZERS.items():
        if kind == "none":
            continue
        real = f"Later_{kind}"
        to.ask("POST", "/v1/schema", {"class": real, "vectorizer": "none"})
        to.fill(real)
        to.update(f"none_to_{kind}", real, config)
    to.update("off_bq", "Later_bq", {"bq": {"enabled": False}})
    to.update("off_sq", "Later_sq", {"sq": {"enabled": False}})
    to.update("flat_none_to_bq", "Flat_none", QUANTIZERS["bq"])
    to.record("alias_create", "POST", "/v1/aliases", {"alias": "Other", "class": "Hnsw_none"})
    named = {"vectorIndexType": "hnsw", "vectorizer": {"none": {}}}
    to.ask("POST", "/v1/schema", {"class": "Named", "vectorConfig": {"a": named}})
    _, raw = to.ask("GET", "/v1/schema/Named")
    raw["vectorConfig"]["b"] = named
    to.record("add_vector", "PUT", "/v1/schema/Named", raw)
    requests(to)


def requests(to: Recorder) -> None:
    """Over gRPC: a count, a query in the field ``vectors``, the operator not."""
    messages = proto()
    aggregate, search = messages.aggregate_pb2, messages.search_get_pb2
    base, near = messages.base_pb2, messages.base_search_pb2
    request = aggregate.AggregateRequest(collection="Hnsw_bq", objects_count=True)
    to.grpc("grpc_aggregate", "Aggregate", request)
    single = base.Vectors.VECTOR_TYPE_SINGLE_FP32
    vector = base.Vectors(vector_bytes=_VECTORS[0].tobytes(), type=single)
    uses = {"uses_123_api": True, "uses_125_api": True, "uses_127_api": True}
    asked = near.NearVector(vectors=[vector])
    request = search.SearchRequest(collection="Hnsw_bq", limit=3, near_vector=asked, **uses)
    to.grpc("grpc_vectors", "Search", request)
    inner = base.Filters(
        operator=base.Filters.OPERATOR_EQUAL,
        value_text=str(uuid.UUID(int=1)),
        target=base.FilterTarget(property="_id"),
    )
    negated = base.Filters(operator=base.Filters.OPERATOR_NOT, filters=[inner])
    request = search.SearchRequest(collection="Hnsw_bq", limit=3, filters=negated, **uses)
    to.grpc("grpc_not", "Search", request)


if __name__ == "__main__":
    with_server = WeaviateServer().start()
    try:
        recorder = Recorder(with_server)
        try:
            run(recorder)
        finally:
            recorder.close()
        print(recorder.folder)
    finally:
        with_server.stop()
